"""A series that one method records while it works, with the point at which it stopped."""

from __future__ import annotations

from attrs import frozen

from harness.report.chosen import dagger, marked
from harness.report.figures.parts import Axis, axis_of, names_of, nothing, section
from harness.report.order import as_key
from harness.report.panels import Line, Panel, is_number
from harness.report.results import ResultRow, Results
from harness.report.section import Section
from harness.spec.blocks import Figure

MOST_LABELS = 8


@frozen
class _Paths:
    """``rows`` is one for each cell; ``colours`` by what a cell has beside its panel."""

    rows: list[ResultRow]
    panels: Axis
    colours: dict[str, str]

    def drawn(self, x: str, y: str) -> list[Panel]:
        return [
            Panel(
                self.panels.title(key),
                tuple(self.line(row, x, y) for row in self.rows if self.panels.of(row.cell) == key),
            )
            for key in self.panels.drawn
        ]

    def line(self, row: ResultRow, x: str, y: str) -> Line:
        rest, order = _rest(row, self.panels), list(self.colours)
        labelled = order if len(order) <= MOST_LABELS else [order[0], order[-1]]
        return path_of(row, x, y, rest if rest in labelled else "", self.colours[rest])


def trajectory(results: Results, figure: Figure) -> Section:
    """One thin line for each cell, of its first seed."""
    panels, names = axis_of(results, figure.panels), names_of(figure)
    rows = _first_seeds(results, figure)
    if not rows:
        series = ", ".join([figure.x, *names])
        return nothing(figure, f"no row of {figure.method} has the series {series}")
    rests = list({_rest(row, panels): None for row in rows})
    paths = _Paths(rows, panels, dict(zip(rests, _shades(len(rests)), strict=True)))
    drawn = {name: paths.drawn(figure.x, name) for name in names}
    name = marked(results, figure.method or "")
    notes = [
        f"{name}: one line for each of {len(rows)} "
        f"{'cell' if len(rows) == 1 else 'cells'}, first seed; the marker is where it stopped.",
        *panels.notes(figure.panels, "left out"),
        dagger(results) if name != figure.method else "",
    ]
    return section(results, figure, drawn, notes)


def _first_seeds(results: Results, figure: Figure) -> list[ResultRow]:
    """Of each cell the first row that has the series."""
    first: dict[str, ResultRow] = {}
    for row in results.rows:
        named = {figure.x, *names_of(figure)} <= row.series.keys()
        if named and row.selected and row.method == figure.method:
            first.setdefault(as_key(row.cell), row)
    return list(first.values())


def _rest(row: ResultRow, panels: Axis) -> str:
    return ", ".join(f"{axis}={v}" for axis, v in row.cell.items() if axis != panels.name)


def _shades(count: int) -> list[str]:
    """Colours from dark to light."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps["viridis"](0.85 * i / max(count - 1, 1))) for i in range(count)]


def path_of(row: ResultRow, x: str, y: str, label: str, colour: str) -> Line:
    """The series ``y`` of ``row`` against ``x``, with a marker where the method stopped."""
    pairs = zip(row.series[x], row.series[y], strict=False)
    points = [point for point in pairs if all(map(is_number, point))]
    stop = row.metrics.get(f"ptn_{x}")
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
