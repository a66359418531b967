"""Metrics against an axis of the cells, one line for each method."""

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
from harness.report.panels import Line, Panel
from harness.report.section import Section
from harness.report.svg import look
from harness.report.tables import Table


def curves(results: Results, figure: Figure) -> Section:
    """Means over all other axes and seeds, with a table for each metric."""
    x, panels = axis_of(results, figure["x"]), axis_of(results, figure["panels"])
    if x.name is None:
        return nothing(figure, f"{figure['x']} is not swept in this run")
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in results["rows"]:
        if row["selected"] and (not figure["methods"] or row["method"] in figure["methods"]):
            key = (row["method"], panels.of(row["cell"]), x.of(row["cell"]))
            groups.setdefault(key, []).append(row)
    if not groups:
        return nothing(figure, "no row has a result of these methods")
    seeds = len(results["spec"]["seeds"])
    cells = Counter((panels.of(cell), x.of(cell)) for cell in results["order"]["cells"])
    present = {method for method, _, _ in groups}
    methods = [label for label in results["order"]["methods"] if label in present]

    def at(method: str, panel: str, keys: Iterable[str], metric: str) -> dict[str, Any]:
        keys = list(keys)
        rows = [row for key in keys for row in groups.get((method, panel, key), ())]
        return averaged(rows, metric, seeds * sum(cells[panel, key] for key in keys))

    def line(method: str, panel: str, metric: str) -> Line:
        marker, colour = look(results, method, methods)
        points = [(v, at(method, panel, [key], metric), True) for key, v in x.values.items()]
        return line_through(points, label=marked(results, method), marker=marker, colour=colour)

    def table(metric: str) -> tuple[str, Table]:
        headers = [*panels.header, "method", *map(str, x.values.values()), "mean"]
        rows = [
            [
                *panels.column(panel),
                marked(results, method),
                *(shown(at(method, panel, [key], metric)) for key in x.values),
                shown(at(method, panel, x.values, metric)),
            ]
            for panel in panels.values
            for method in methods
        ]
        return f"{metric}, by {x.name}", (headers, rows)

    drawn = {
        metric: [
            Panel(panels.title(key), tuple(line(m, key, metric) for m in methods))
            for key in panels.drawn
        ]
        for metric in figure["y"]
    }
    over = [axis for axis in results["order"]["axes"] if axis not in (x.name, panels.name)]
    daggers = dagger(results) if any(marked(results, m) != m for m in methods) else ""
    notes = [
        spread_note(results, over),
        *panels.notes(figure["panels"], "in the table"),
        daggers,
    ]
    return section(results, figure, drawn, notes, map(table, figure["y"]))
