"""Series that belong together, such as one for each layer, as rows of colours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.report.figures.parts import axis_of, names_of, nothing
from harness.report.numbers import plain_number
from harness.report.order import as_key
from harness.report.panels import MOST_PANELS, is_number
from harness.report.results import ResultRow, Results
from harness.report.section import Section
from harness.report.svg import WIDE, literal, svg
from harness.spec.blocks import Figure

ABREAST = {18: 3, 28: 2}  # panels in one row, by the most letters that their titles may have
SHADES = 16

Matrix = tuple[tuple[float, ...], ...]  # a row for each series


def heatmap(results: Results, figure: Figure) -> Section:
    """The series ``y:NAME`` below one another against the series x: a panel for each value of the
    axis of ``panels``, or for each cell, with the mean over whatever else there is."""
    of = names_of(figure)[0]
    panels, rows = axis_of(results, figure.panels), rows_with(results, figure, of)
    if not rows:
        return nothing(figure, f"no row has the series {figure.x} and {of}:...")
    first = rows[0].series
    points, names = first[figure.x], series_of(first, of)
    matrices: dict[str, list[Matrix]] = {}
    for row in rows:
        if row.series[figure.x] != points or series_of(row.series, of) != names:
            continue
        matrix = tuple(row.series[name] for name in names)
        if all(len(line) == len(points) and all(map(is_number, line)) for line in matrix):
            matrices.setdefault(cell_title(panels.name, row), []).append(matrix)
    left_out = len(matrices) - MOST_PANELS
    drawn = {title: _mean(found) for title, found in list(matrices.items())[:MOST_PANELS]}
    if not drawn or not points:
        return nothing(figure, "no row has numbers for it")
    caption = f"{of} by {figure.x}"
    counts = sorted({len(found) for found in matrices.values()})
    notes = [
        f"Mean over the runs of a panel ({', '.join(map(str, counts))}), on one scale whose "
        "colours follow the square root.",
        "From the top: " + "; ".join(name.partition(":")[2] for name in names) + ".",
        f"{left_out} more panels are left out." if left_out > 0 else "",
    ]
    table = [[title, *map(plain_number, map(_average, zip(*m, strict=True)))]
             for title, m in drawn.items()]  # fmt: skip
    headers = ["", *map(_point, points)]
    return Section(
        figure.title,
        tuple(filter(None, notes)),
        _draw(drawn, points, figure.x, caption),
        ((f"Mean over what stands below one another, by {figure.x}", (headers, table)),),
    )


def rows_with(results: Results, figure: Figure, of: str) -> list[ResultRow]:
    """Those of one method: what metrics leave of the base model is the same for all."""
    having = [row for row in results.rows if figure.x in row.series and series_of(row.series, of)]
    wanted = figure.methods or [row.method for row in having]
    return [row for row in having if row.method == wanted[0]]


def series_of(series: Iterable[str], of: str) -> list[str]:
    """The names of the series ``of:...``, in order."""
    return sorted(name for name in series if name.startswith(f"{of}:"))


def cell_title(axis: str | None, row: ResultRow) -> str:
    """The value that the cell of ``row`` has of an axis, or all of its values."""
    if axis is not None:
        return f"{axis} = {row.cell.get(axis)}" if axis in row.cell else as_key(row.cell)
    return ", ".join(f"{name}={value}" for name, value in row.cell.items())


def _point(value: Any) -> str:
    return f"{value:g}" if is_number(value) else str(value)


def _mean(matrices: Sequence[Matrix]) -> Matrix:
    return tuple(
        tuple(_average(values) for values in zip(*lines, strict=True))
        for lines in zip(*matrices, strict=True)
    )


def _average(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _draw(drawn: Mapping[str, Matrix], points: Sequence[Any], x: str, title: str) -> str:
    longest = max(map(len, drawn))
    columns = min(next((n for most, n in ABREAST.items() if longest <= most), 1), len(drawn))
    lines = math.ceil(len(drawn) / columns)
    most = max((value for m in drawn.values() for line in m for value in line), default=0.0)
    count = len(next(iter(drawn.values())))
    high = min(0.12 * count + 0.5, 3.0)

    def draw(figure: Any) -> None:
        from matplotlib import colormaps
        from matplotlib.colors import PowerNorm

        look = {
            "cmap": colormaps["viridis"].resampled(SHADES),
            "norm": PowerNorm(0.5, 0, most or 1.0),
        }
        spots = list(figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).flat)
        for axes in spots[len(drawn) :]:
            axes.set_axis_off()
        for axes, (name, matrix) in zip(spots, drawn.items(), strict=False):
            axes.invert_yaxis() if axes is spots[0] else None
            mesh = axes.pcolormesh(matrix, **look, linewidth=0.2, edgecolor="face", clip_on=False)
            axes.set_title(literal(name))
            ticks = sorted({0, len(points) // 2, len(points) - 1})
            axes.set_xticks([i + 0.5 for i in ticks], [literal(_point(points[i])) for i in ticks])
            axes.set_yticks([0.5, count - 0.5], ["0", str(count - 1)])
        figure.colorbar(mesh, ax=spots, fraction=0.05, aspect=12 * lines)
        figure.supxlabel(literal(x), fontsize=9)

    means = (f"{name}: mean {_average([v for m in matrix for v in m]):.3f}"
             for name, matrix in drawn.items())  # fmt: skip
    return svg(draw, (WIDE, lines * high + 0.4), title, "; ".join(means))
