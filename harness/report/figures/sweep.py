"""Metrics against a setting of one method, over all of its candidates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import frozen

from harness.report.chosen import dagger, marked
from harness.report.coverage import rows_asked
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
from harness.report.order import as_key
from harness.report.panels import Line, Panel
from harness.report.results import ResultRow, Results
from harness.report.section import Section
from harness.report.svg import look
from harness.spec.blocks import Figure


@frozen
class _Sweep:
    """``values`` are those of the setting; ``rests`` the other settings in words; both by key.
    ``groups`` are the rows by panel, rest and value."""

    results: Results
    method: str
    panels: Axis
    values: Mapping[str, Any]
    rests: Mapping[str, str]
    groups: Mapping[tuple[str, str, str], list[ResultRow]]
    expected: Mapping[str, int]  # how many rows, by panel

    @property
    def several(self) -> bool:
        """Whether other settings are swept too, each combination of which is a line."""
        return len(self.rests) > 1

    def at(self, panel: str, rest: str, value: str, metric: str) -> Averaged:
        rows = self.groups.get((panel, rest, value), ())
        return averaged(rows, metric, self.expected.get(panel, 0))

    def line(self, panel: str, rest: str, metric: str) -> Line:
        points = [
            (v, self.at(panel, rest, key, metric), _chosen(self.groups.get((panel, rest, key), ())))
            for key, v in self.values.items()
        ]
        label = self.rests[rest] if self.several else ""
        marks = ((v, found, chosen > 0) for v, found, chosen in points)
        return line_through(marks, label=label, **look(rest, list(self.rests)))

    def drawn(self, metric: str) -> list[Panel]:
        return [
            Panel(
                self.panels.title(key), tuple(self.line(key, rest, metric) for rest in self.rests)
            )
            for key in self.panels.drawn
        ]

    def lines(self, metrics: tuple[str, ...]) -> Iterator[list[str]]:
        """The lines of the table: one for each candidate in each panel."""
        for panel in self.panels.values:
            for rest, words in self.rests.items():
                for key, value in self.values.items():
                    rows = self.groups.get((panel, rest, key), [])
                    if rows:
                        yield [
                            *self.panels.column(panel),
                            str(value),
                            *([words] if self.several else []),
                            f"{_chosen(rows)} of {len(rows)}",
                            *(shown(self.at(panel, rest, key, metric)) for metric in metrics),
                        ]

    def notes(self, asked: str | None) -> list[str]:
        name = marked(self.results, self.method)
        return [
            f"Every candidate of {name}; full markers are candidates that were chosen in at least "
            "one cell and seed.",
            spread_note(
                self.results, [a for a in self.results.order.axes if a != self.panels.name]
            ),
            *self.panels.notes(asked, "in the table"),
            dagger(self.results) if name != self.method else "",
        ]


def sweep(results: Results, figure: Figure) -> Section:
    """One line, or one for each combination of the other settings that the method sweeps."""
    method, x = figure.method or "", figure.x
    tried = [row for row in results.rows if row.method == method and x in row.candidate]
    if not tried:
        return nothing(figure, f"no candidate of {figure.method} has a value of {x} in this run")
    found = _sweep(results, method, x, axis_of(results, figure.panels), tried)
    names = names_of(figure)
    drawn = {metric: found.drawn(metric) for metric in names}
    more = ["other settings"] if found.several else []
    headers = [*found.panels.header, x, *more, "chosen", *names]
    tables = [("", (headers, list(found.lines(names))))]
    return section(results, figure, drawn, found.notes(figure.panels), tables)


def _sweep(results: Results, method: str, x: str, panels: Axis, tried: list[ResultRow]) -> _Sweep:
    values = {as_key(row.candidate[x]): row.candidate[x] for row in tried}
    tied = len({as_key(row.candidate) for row in tried}) == len(values)
    groups: dict[tuple[str, str, str], list[ResultRow]] = {}
    rests: dict[str, str] = {}
    for row in tried:
        others = {} if tied else {name: v for name, v in row.candidate.items() if name != x}
        rest = as_key(others)
        rests[rest] = ", ".join(f"{name}={v}" for name, v in others.items())
        groups.setdefault((panels.of(row.cell), rest, as_key(row.candidate[x])), []).append(row)
    return _Sweep(results, method, panels, values, rests, groups, rows_asked(results, panels.of))


def _chosen(rows: Iterable[ResultRow]) -> int:
    return sum(row.selected for row in rows)
