"""Metrics of each method beside those of the references: doing nothing, and training again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import evolve, frozen

from harness.report.chosen import dagger, marked
from harness.report.coverage import rows_asked
from harness.report.figures.few import few, is_reference
from harness.report.figures.parts import (
    Averaged,
    Axis,
    averaged,
    axis_of,
    names_of,
    nothing,
    section,
)
from harness.report.numbers import with_interval
from harness.report.pairs import bounds_of
from harness.report.panels import Line, Panel
from harness.report.results import ResultRow, Results
from harness.report.section import Section
from harness.report.svg import look
from harness.spec.blocks import Figure

MARKS = (
    "A mark for each method: its mean over {}, with the 95 % interval (bar) where there are two or "
    "more; (k of n) where numbers are missing.{}"
)
MOST = 16


@frozen
class _Methods:
    results: Results
    panels: Axis
    rows: dict[tuple[str, str], list[ResultRow]]  # by method and panel
    expected: Mapping[str, int]  # how many rows, by panel

    def at(self, method: str, panel: str, metric: str) -> Averaged:
        found = self.rows.get((method, panel), ())
        return averaged(found, metric, self.expected[panel], bounds_of(self.results, metric))

    def panel(self, key: str, metric: str, drawn: Sequence[str]) -> Panel:
        """Marks without a line between them, and a line across for each reference."""
        references = [m for m in drawn if is_reference(self.results, m)]
        methods = [m for m in drawn if m not in references] or references
        found = {m: self.at(m, key, metric).over_seeds for m in drawn}
        means = {m: each.mean for m, each in found.items() if each.mean is not None}
        there = [m for m in methods if m in means]
        marks = Line(
            "",
            **{**look(methods[0], drawn), "dash": "none"},
            x=[marked(self.results, m) for m in there],
            y=[means[m] for m in there],
            bars=[(found[m].low, found[m].high) for m in there],
            filled=tuple(range(len(there))),
        )
        names = [marked(self.results, m) for m in methods]
        across = (
            Line(
                marked(self.results, m),
                **look(m, drawn),
                x=names,
                y=[means[m]] * len(names),
                thin=True,
            )
            for m in references
            if m in means
        )
        return Panel(self.panels.title(key), (*across, marks))

    def line(self, key: str, method: str, metrics: Sequence[str]) -> list[str]:
        """A line of the table."""
        numbers = []
        for found in (self.at(method, key, metric) for metric in metrics):
            lacking = 0 < found.values < found.expected
            part = f" ({found.values} of {found.expected})" if lacking else ""
            numbers.append(with_interval(found.over_seeds) + part)
        return [*self.panels.column(key), marked(self.results, method), *numbers]


def methods(results: Results, figure: Figure) -> Section:
    """Means over cells and seeds, a panel for each metric and value of the axis of panels."""
    panels, names = axis_of(results, figure.panels), names_of(figure)
    rows: dict[tuple[str, str], list[ResultRow]] = {}
    for row in results.rows:
        if row.selected and (not figure.methods or row.method in figure.methods):
            rows.setdefault((row.method, panels.of(row.cell)), []).append(row)
    if not rows:
        return nothing(figure, "no row has a result of these methods")
    there = [m for m in results.order.methods if any(m == method for method, _ in rows)]
    drawn, rule = few(results, there, names, MOST)
    found = _Methods(results, panels, rows, rows_asked(results, panels.of))
    shown = {name: [found.panel(key, name, drawn) for key in panels.drawn] for name in names}
    over = [axis for axis in results.order.axes if axis != panels.name]
    references = ", ".join(m for m in drawn if is_reference(results, m))
    across = f" Lines across: {references}." if references else ""
    notes = [
        MARKS.format(f"{', '.join(over)} and seeds" if over else "seeds", across),
        rule,
        *panels.notes(figure.panels, "in the table"),
        dagger(results) if any(marked(results, m) != m for m in there) else "",
    ]
    table = [found.line(key, method, names) for key in panels.values for method in there]
    tables = [("", ([*panels.header, "method", *names], table))]
    return section(results, evolve(figure, x="method"), shown, notes, tables)
