"""Losses on a plane as contours, with the paths of the trainings that span it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from harness.report.figures.heatmap import cell_title, rows_with, series_of
from harness.report.figures.parts import axis_of, names_of, nothing
from harness.report.numbers import plain_number
from harness.report.panels import is_number
from harness.report.results import ResultRow, Results
from harness.report.section import Section
from harness.report.svg import WIDE, literal, svg
from harness.spec.blocks import Figure

MOST = 6  # cells that are drawn
LEVELS = 10
# The series of each path, how it is drawn and what that means.
PATHS = {
    "path": ("-", "solid, the training on the cell's own data"),
    "clean_path": ("--", "dashed, the clean training"),
}


Line = tuple[float, ...]


@frozen
class _Plane:
    """The losses on one plane by name, and its paths; ``y`` has a row for each of its values."""

    title: str
    x: Line
    y: Line
    losses: dict[str, list[Line]]
    paths: dict[str, tuple[Line, Line]]


def landscape(results: Results, figure: Figure) -> Section:
    """The losses ``y:...`` of each cell, or of the first one for each value of ``panels``."""
    names, axis = names_of(figure), axis_of(results, figure.panels).name
    planes: dict[str, _Plane] = {}
    for row in rows_with(results, figure, names[0]):
        plane = _plane(row, cell_title(axis, row), figure.x, names)
        if plane is not None:
            planes.setdefault(plane.title, plane)
    drawn = list(planes.values())[:MOST]
    if not drawn:
        return nothing(figure, f"no row has numbers for {figure.x} and {', '.join(names)}")
    paths = (words for _, words in PATHS.values())
    notes = [
        f"Lines: {'; '.join(paths)}; the marker is where it ended. Contours are even in the "
        "logarithm of each loss. First seed.",
        f"{len(planes) - MOST} more are left out." if len(planes) > MOST else "",
    ]
    table = [
        [p.title, name, plain_number(min(map(min, rows))), plain_number(max(map(max, rows)))]
        for p in drawn
        for name, rows in p.losses.items()
    ]
    return Section(
        figure.title,
        tuple(filter(None, notes)),
        _draw(drawn, figure.title),
        (("Losses on the plane", (["", "loss", "lowest", "highest"], table)),),
    )


def _plane(row: ResultRow, title: str, x: str, names: Sequence[str]) -> _Plane | None:
    series = row.series
    wide = series[x]
    high = series.get(f"{x.removesuffix('_x')}_y", ())
    losses = {name: [series[each] for each in series_of(series, name)] for name in names}
    paths = {p: (series.get(f"{p}_x", ()), series.get(f"{p}_y", ())) for p in PATHS}
    whole = all(
        len(rows) == len(high) and all(len(line) == len(wide) for line in rows)
        for rows in losses.values()
    ) and all(len(a) == len(b) for a, b in paths.values())
    every = [*wide, *high, *(v for rows in losses.values() for line in rows for v in line)]
    every += [v for both in paths.values() for part in both for v in part]
    if not whole or min(len(wide), len(high)) < 2 or not all(map(is_number, every)):
        return None
    return _Plane(title, wide, high, losses, paths)


def _draw(planes: Sequence[_Plane], title: str) -> str:
    columns = len(planes[0].losses)

    def draw(figure: Any) -> None:
        grid = figure.subplots(len(planes), columns, squeeze=False)
        for line, plane in zip(grid, planes, strict=True):
            for axes, (name, rows) in zip(line, plane.losses.items(), strict=True):
                axes.contourf(plane.x, plane.y, rows, _levels(rows), cmap="Blues", alpha=0.8)
                for path, (xs, ys) in plane.paths.items():
                    axes.plot(xs, ys, PATHS[path][0], color="#D55E00", linewidth=1.2)
                    axes.plot(xs[-1:], ys[-1:], "o", color="#D55E00", markersize=4)
                axes.set_title(literal(f"{plane.title} · {name}" if plane.title else name))
                axes.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)

    return svg(draw, (WIDE, 2.1 * len(planes)), title, "; ".join(w for _, w in PATHS.values()))


def _levels(rows: Sequence[Line]) -> list[float]:
    """From the lowest to the highest loss, evenly in the logarithm."""
    low, high = (max(of(map(of, rows)), 1e-6) for of in (min, max))
    ratio = max(high / low, 1.001)
    return [low * ratio ** (i / LEVELS) for i in range(LEVELS + 1)]
