"""Metrics against an axis of the cells, one line for each method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from harness.report.chosen import dagger, marked
from harness.report.coverage import rows_asked
from harness.report.figures.few import few
from harness.report.figures.parts import (
    Averaged,
    Axis,
    averaged,
    axis_of,
    line_through,
    names_of,
    nothing,
    section,
    shown,
    spread_note,
)
from harness.report.panels import Line, Panel
from harness.report.results import ResultRow, Results
from harness.report.section import Section
from harness.report.svg import look
from harness.report.tables import Table
from harness.spec.blocks import Figure

Groups = Mapping[tuple[str, str, str], list[ResultRow]]  # by method, panel and value of x


@frozen
class _Curves:
    results: Results
    x: Axis
    panels: Axis
    methods: list[str]
    drawn_methods: list[str]
    rule: str
    groups: Groups
    expected: Mapping[tuple[str, str], int]  # how many rows, for a panel and a value of x

    def at(self, method: str, panel: str, keys: Iterable[str], metric: str) -> Averaged:
        """The mean at some values of x."""
        keys = list(keys)
        rows = [row for key in keys for row in self.groups.get((method, panel, key), ())]
        expected = sum(self.expected.get((panel, key), 0) for key in keys)
        return averaged(rows, metric, expected)

    def line(self, method: str, panel: str, metric: str) -> Line:
        values = self.x.values.items()
        points = [(value, self.at(method, panel, [key], metric), True) for key, value in values]
        label = marked(self.results, method)
        return line_through(points, label=label, **look(method, self.drawn_methods))

    def drawn(self, metric: str) -> list[Panel]:
        return [
            Panel(
                self.panels.title(key),
                tuple(self.line(m, key, metric) for m in self.drawn_methods),
            )
            for key in self.panels.drawn
        ]

    def table(self, metric: str) -> tuple[str, Table]:
        headers = [*self.panels.header, "method", *map(str, self.x.values.values()), "mean"]
        rows = [
            [
                *self.panels.column(panel),
                marked(self.results, method),
                *(shown(self.at(method, panel, [key], metric)) for key in self.x.values),
                shown(self.at(method, panel, self.x.values, metric)),
            ]
            for panel in self.panels.values
            for method in self.methods
        ]
        return f"{metric}, by {self.x.name}", (headers, rows)

    def notes(self, asked: str | None) -> list[str]:
        results = self.results
        over = [a for a in results.order.axes if a not in (self.x.name, self.panels.name)]
        daggers = dagger(results) if any(marked(results, m) != m for m in self.methods) else ""
        left_out = self.panels.notes(asked, "in the table")
        return [spread_note(results, over), self.rule, *left_out, daggers]


def curves(results: Results, figure: Figure) -> Section:
    """Means over all other axes and seeds, with a table for each metric."""
    x, panels = axis_of(results, figure.x), axis_of(results, figure.panels)
    if x.name is None:
        return nothing(figure, f"{figure.x} is not swept in this run")
    groups = _groups(results, figure, x, panels)
    if not groups:
        return nothing(figure, "no row has a result of these methods")
    present = {method for method, _, _ in groups}
    methods = [label for label in results.order.methods if label in present]
    asked = rows_asked(results, lambda cell: (panels.of(cell), x.of(cell)))
    names = names_of(figure)
    found = _Curves(results, x, panels, methods, *few(results, methods, names), groups, asked)
    drawn = {metric: found.drawn(metric) for metric in names}
    return section(results, figure, drawn, found.notes(figure.panels), map(found.table, names))


def _groups(results: Results, figure: Figure, x: Axis, panels: Axis) -> Groups:
    groups: dict[tuple[str, str, str], list[ResultRow]] = {}
    for row in results.rows:
        if row.selected and (not figure.methods or row.method in figure.methods):
            key = (row.method, panels.of(row.cell), x.of(row.cell))
            groups.setdefault(key, []).append(row)
    return groups
