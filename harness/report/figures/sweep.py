"""Metrics against a setting of one method, over all of its candidates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from harness.report.chosen import dagger, marked
from harness.report.figures.common import (
    Figure,
    Results,
    Row,
    averaged,
    axis_of,
    line_through,
    nothing,
    section,
    shown,
    spread_note,
)
from harness.report.order import canonical
from harness.report.panels import Line, Panel
from harness.report.section import Section
from harness.report.svg import COLOURS, look


def sweep(results: Results, figure: Figure) -> Section:
    """One line, or one for each combination of the other settings that the method sweeps."""
    x, panels = figure["x"], axis_of(results, figure["panels"])
    tried = [
        row
        for row in results["rows"]
        if row["method"] == figure["method"] and x in row["candidate"]
    ]
    if not tried:
        return nothing(figure, f"no candidate of {figure['method']} has a value of {x} in this run")
    groups: dict[tuple[str, str, str], list[Row]] = {}
    rests: dict[str, str] = {}
    values = {canonical(row["candidate"][x]): row["candidate"][x] for row in tried}
    tied = len({canonical(row["candidate"]) for row in tried}) == len(values)
    for row in tried:
        others = {} if tied else {name: v for name, v in row["candidate"].items() if name != x}
        rest = canonical(others)
        rests[rest] = ", ".join(f"{name}={v}" for name, v in others.items())
        key = (panels.of(row["cell"]), rest, canonical(row["candidate"][x]))
        groups.setdefault(key, []).append(row)
    seeds = len(results["spec"]["seeds"])
    cells = Counter(map(panels.of, results["order"]["cells"]))

    def at(panel: str, rest: str, value: str, metric: str) -> dict[str, Any]:
        return averaged(groups.get((panel, rest, value), ()), metric, seeds * cells[panel])

    several = len(rests) > 1

    def line(panel: str, rest: str, metric: str) -> Line:
        _, colour = look(results, figure["method"])
        if several:
            colour = COLOURS[list(rests).index(rest) % len(COLOURS)]
        points = [
            (v, at(panel, rest, key, metric), _chosen(groups.get((panel, rest, key), ())) > 0)
            for key, v in values.items()
        ]
        label = rests[rest] if several else ""
        return line_through(points, label=label, marker="o", colour=colour)

    drawn = {
        metric: [
            Panel(panels.title(key), tuple(line(key, rest, metric) for rest in rests))
            for key in panels.drawn
        ]
        for metric in figure["y"]
    }
    more = ["other settings"] if several else []
    headers = [*panels.header, x, *more, "chosen", *figure["y"]]
    lines = [
        [
            *panels.column(panel),
            str(v),
            *([rests[rest]] if several else []),
            f"{_chosen(rows)} of {len(rows)}",
            *(shown(at(panel, rest, key, metric)) for metric in figure["y"]),
        ]
        for panel in panels.values
        for rest in rests
        for key, v in values.items()
        if (rows := groups.get((panel, rest, key), []))
    ]
    over = [axis for axis in results["order"]["axes"] if axis != panels.name]
    notes = [
        f"Every candidate of {marked(results, figure['method'])}; full markers are candidates that "
        "were chosen in at least one cell and seed.",
        spread_note(results, over),
        *panels.notes(figure["panels"], "in the table"),
        dagger(results) if marked(results, figure["method"]) != figure["method"] else "",
    ]
    return section(results, figure, drawn, notes, [("", (headers, lines))])


def _chosen(rows: Iterable[Row]) -> int:
    return sum(bool(row["selected"]) for row in rows)
