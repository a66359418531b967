"""A series that one method records while it works, with the point at which it stopped."""

from __future__ import annotations

from harness.report.chosen import dagger, marked
from harness.report.figures.common import Axis, Figure, Results, Row, axis_of, nothing, section
from harness.report.order import canonical
from harness.report.panels import Line, Panel, is_number
from harness.report.section import Section

MOST_LABELS = 12


def trajectory(results: Results, figure: Figure) -> Section:
    """One thin line for each cell, of its first seed."""
    panels = axis_of(results, figure["panels"])
    first: dict[str, Row] = {}
    for row in results["rows"]:
        named = {figure["x"], *figure["y"]} <= (row.get("series") or {}).keys()
        if named and row["selected"] and row["method"] == figure["method"]:
            first.setdefault(canonical(row["cell"]), row)
    if not first:
        names = ", ".join([figure["x"], *figure["y"]])
        return nothing(figure, f"no row of {figure['method']} has the series {names}")
    rests = {_rest(row, panels): None for row in first.values()}
    colours = dict(zip(rests, _shades(len(rests)), strict=True))
    order = list(rests)
    labelled = order if len(order) <= MOST_LABELS else [order[0], order[-1]]
    drawn = {
        name: [
            Panel(
                panels.title(key),
                tuple(
                    _path(row, figure["x"], name, rest if rest in labelled else "", colours[rest])
                    for row in first.values()
                    if panels.of(row["cell"]) == key
                    for rest in [_rest(row, panels)]
                ),
            )
            for key in panels.drawn
        ]
        for name in figure["y"]
    }
    count = len(first)
    notes = [
        f"{marked(results, figure['method'])}: one line for each of {count} "
        f"{'cell' if count == 1 else 'cells'}, first seed; the marker is where it stopped.",
        *panels.notes(figure["panels"], "left out"),
        dagger(results) if marked(results, figure["method"]) != figure["method"] else "",
    ]
    return section(results, figure, drawn, notes)


def _rest(row: Row, panels: Axis) -> str:
    return ", ".join(f"{axis}={v}" for axis, v in row["cell"].items() if axis != panels.name)


def _shades(count: int) -> list[str]:
    """Colours from dark to light."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps["viridis"](0.9 * i / max(count - 1, 1))) for i in range(count)]


def _path(row: Row, x: str, y: str, label: str, colour: str) -> Line:
    pairs = zip(row["series"][x], row["series"][y], strict=False)
    points = [point for point in pairs if all(map(is_number, point))]
    stop = row["metrics"].get(f"ptn_{x}")
    end = len(points) - 1
    if stop is not None and points:
        end = min(range(len(points)), key=lambda i: abs(points[i][0] - stop))
    return Line(
        label=label,
        marker="o",
        colour=colour,
        x=[point[0] for point in points],
        y=[point[1] for point in points],
        filled=(end,) if points else (),
        thin=True,
    )
