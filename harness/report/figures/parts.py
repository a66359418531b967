"""What the shapes of figures are made of: panels by an axis, means over cells, sections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from attrs import frozen

from harness.report.numbers import number
from harness.report.order import as_key, axis_paths
from harness.report.panels import MOST_PANELS, Line, Panel, draw_panels, is_number
from harness.report.record import Seed
from harness.report.repetitions import labels
from harness.report.results import ResultRow, Results, Values
from harness.report.section import Section
from harness.report.spread import UNBOUNDED, Bounds, Statistics, statistics
from harness.report.svg import metric_label
from harness.report.tables import Table
from harness.spec.blocks import Figure


@frozen
class Averaged:
    """Statistics over seeds, on how many numbers they stand, and how many there should be."""

    over_seeds: Statistics
    values: int
    expected: int


@frozen
class Axis:
    """An axis of the cells with its values in the order of the spec, or none with one value."""

    name: str | None
    values: dict[str, Any]

    def of(self, cell: Values) -> str:
        """The key in ``values`` of the value that ``cell`` has."""
        return as_key(None if self.name is None else cell.get(self.name))

    @property
    def drawn(self) -> list[str]:
        """The keys of the values that get a panel."""
        return list(self.values)[:MOST_PANELS]

    def title(self, key: str) -> str:
        """The title of the panel for a value."""
        return "" if self.name is None else f"{self.name} = {self.values[key]}"

    def column(self, key: str) -> list[str]:
        """What a row for a value begins with."""
        return [] if self.name is None else [str(self.values[key])]

    @property
    def header(self) -> list[str]:
        """The header of that column."""
        return [] if self.name is None else [self.name]

    def notes(self, asked: str | None, elsewhere: str) -> list[str]:
        """What a reader must know of the panels that ``asked`` for."""
        if asked is not None and self.name is None:
            return [f"{asked} is not swept in this run, so there is one panel."]
        left_out = len(self.values) - MOST_PANELS
        return [f"{left_out} more values of {self.name} are {elsewhere}."] if left_out > 0 else []


def axis_of(results: Results, asked: str | None) -> Axis:
    """The axis that a spec calls ``asked``, where this run sweeps it."""
    cells = results.order.cells
    paths = axis_paths(results.spec).items()
    named = [axis for axis, path in paths if asked in (axis, ".".join(map(str, path)))]
    if asked is None or not (named or asked in results.order.axes):
        return Axis(None, {"null": None})
    name = named[0] if named else asked
    return Axis(name, {as_key(c.get(name)): c.get(name) for c in cells})


def averaged(
    rows: Iterable[ResultRow], metric: str, expected: int, bounds: Bounds = UNBOUNDED
) -> Averaged:
    """Statistics over seeds of each seed's mean over cells, which lies within ``bounds``."""
    by_seed: dict[Seed, list[float]] = {}
    for row in rows:
        value = row.metrics.get(metric)
        if value is not None:
            by_seed.setdefault(row.seed, []).append(value)
    found = statistics([fmean(values) for values in by_seed.values()], bounds)
    return Averaged(found, sum(map(len, by_seed.values())), expected)


def shown(found: Averaged) -> str:
    """The number with its spread, and how many numbers it stands on where some are missing."""
    lacking = 0 < found.values < found.expected
    return number(found.over_seeds) + (f" ({found.values} of {found.expected})" if lacking else "")


def line_through(points: Iterable[tuple[Any, Averaged, bool]], **look: Any) -> Line:
    """A line through the points (x, averaged, filled) that have a mean, in order of numbers."""
    found = [
        (x, point.over_seeds.mean, point.over_seeds.std, filled)
        for x, point, filled in points
        if point.over_seeds.mean is not None
    ]
    if all(is_number(point[0]) for point in found):
        found.sort(key=lambda point: point[0])
    return Line(
        x=[point[0] for point in found],
        y=[point[1] for point in found],
        bars=[(y - spread, y + spread) if spread else None for _, y, spread, _ in found],
        filled=tuple(i for i, point in enumerate(found) if point[3]),
        **look,
    )


def section(
    results: Results,
    figure: Figure,
    panels: Mapping[str, Sequence[Panel]],
    notes: Iterable[str],
    tables: Iterable[tuple[str, Table]] = (),
) -> Section:
    """The section of ``figure`` with a row of panels for each name on its y axis."""
    if not any(line.y for row in panels.values() for panel in row for line in panel.lines):
        return nothing(figure, "no row has a number for it")
    title = f"{', '.join(panels)} against {figure.x}"
    rows = [(metric_label(results, name), row) for name, row in panels.items()]
    drawing = draw_panels(figure.x.replace("_", " "), rows, title)
    return Section(figure.title, tuple(filter(None, notes)), drawing, tuple(tables))


def nothing(figure: Figure, why: str) -> Section:
    """A section that says why the figure is not there."""
    return Section(figure.title, (f"Not shown: {why}.",))


def spread_note(results: Results, over: Iterable[str]) -> str:
    """What the numbers are, where ``over`` are the axes that they are means over."""
    cells = ", ".join(over)
    mean = f"Mean over {cells} for each seed" if cells else "One value for each seed"
    seeds = len(labels(results.spec))
    if seeds < 2:
        spread = "; one seed, so no spread is known"
    else:
        spread = f", then mean ± sample standard deviation (bar) over {seeds} seeds"
    return f"{mean}{spread}; (k of n) where numbers are missing."


def names_of(figure: Figure) -> tuple[str, ...]:
    """What stands on the y axis of ``figure``, each with a row of panels."""
    return (figure.y,) if isinstance(figure.y, str) else figure.y
