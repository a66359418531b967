"""What the shapes of figures share: panels by an axis, means over cells and seeds, sections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from attrs import frozen

from harness.report.numbers import number
from harness.report.order import axis_paths, canonical
from harness.report.panels import MOST_PANELS, Line, Panel, draw_panels, is_number
from harness.report.section import Section
from harness.report.spread import statistics
from harness.report.svg import metric_label
from harness.report.tables import Table

Results = Mapping[str, Any]
Figure = Mapping[str, Any]
Row = Mapping[str, Any]


@frozen
class Axis:
    """An axis of the cells with its values in the order of the spec, or none with one value."""

    name: str | None
    values: dict[str, Any]

    def of(self, cell: Mapping[str, Any]) -> str:
        """The key in ``values`` of the value that ``cell`` has."""
        return canonical(None if self.name is None else cell.get(self.name))

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
    cells = results["order"]["cells"]
    paths = axis_paths(results["spec"]).items()
    named = [axis for axis, path in paths if asked in (axis, ".".join(map(str, path)))]
    if asked is None or not (named or asked in results["order"]["axes"]):
        return Axis(None, {"null": None})
    name = named[0] if named else asked
    return Axis(name, {canonical(c.get(name)): c.get(name) for c in cells})


def averaged(rows: Iterable[Row], metric: str, expected: int) -> dict[str, Any]:
    """Statistics over seeds of each seed's mean over cells, and how many numbers that takes."""
    by_seed: dict[int, list[float]] = {}
    for row in rows:
        value = row["metrics"].get(metric)
        if value is not None:
            by_seed.setdefault(row["seed"], []).append(value)
    found = statistics([fmean(values) for values in by_seed.values()])
    return {**found, "values": sum(map(len, by_seed.values())), "expected": expected}


def shown(entry: Mapping[str, Any]) -> str:
    """The number with its spread, and how many numbers it stands on where some are missing."""
    lacking = 0 < entry["values"] < entry["expected"]
    return number(entry) + (f" ({entry['values']} of {entry['expected']})" if lacking else "")


def line_through(points: Iterable[tuple[Any, Mapping[str, Any], bool]], **look: Any) -> Line:
    """A line through the points (x, statistics, filled) that have a mean, in order of numbers."""
    found = [point for point in points if point[1]["mean"] is not None]
    if all(is_number(x) for x, _, _ in found):
        found.sort(key=lambda point: point[0])
    return Line(
        x=[x for x, _, _ in found],
        y=[entry["mean"] for _, entry, _ in found],
        spread=[entry["std"] for _, entry, _ in found],
        filled=tuple(i for i, point in enumerate(found) if point[2]),
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
    title = f"{', '.join(panels)} against {figure['x']}"
    rows = [(metric_label(results, name), row) for name, row in panels.items()]
    drawing = draw_panels(figure["x"].replace("_", " "), rows, title)
    return Section(figure["title"], tuple(filter(None, notes)), drawing, tuple(tables))


def nothing(figure: Figure, why: str) -> Section:
    """A section that says why the figure is not there."""
    return Section(figure["title"], (f"Not shown: {why}.",))


def spread_note(results: Results, over: Iterable[str]) -> str:
    """What the numbers are, where ``over`` are the axes that they are means over."""
    cells = ", ".join(over)
    mean = f"Mean over {cells} for each seed" if cells else "One value for each seed"
    seeds = len(results["spec"]["seeds"])
    if seeds < 2:
        spread = "; one seed, so no spread is known"
    else:
        spread = f", then mean ± sample standard deviation (band) over {seeds} seeds"
    return f"{mean}{spread}; (k of n) where numbers are missing."
