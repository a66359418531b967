"""Completes results: what follows from their rows is worked out here."""

from __future__ import annotations

import math

import attrs

from harness.report.asked import claims_of
from harness.report.claims import judge
from harness.report.coverage import gaps
from harness.report.order import as_key, in_order, order_of
from harness.report.pairs import bounds_of
from harness.report.record import from_plain, to_plain
from harness.report.results import UNORDERED, ResultRow, Results, Summary
from harness.report.spread import statistics

WRITTEN = frozenset(("format", "order", "summary", "missing", "claims"))  # whatever was read


def assemble(found: Results) -> Results:
    """``found`` with everything that follows from its rows, which may come in any order.

    Results that were made and results that were read are the same: a number that is not finite is a
    note, and what a mapping holds is sorted by name.
    """
    results = attrs.evolve(found, rows=tuple(map(_finite, found.rows)))
    if results.order == UNORDERED:  # else they were stored, with their rows in order
        order = order_of(results)
        results = attrs.evolve(results, order=order, rows=in_order(results, order))
    results = from_plain(Results, to_plain(results))
    results = attrs.evolve(results, absent=results.absent - WRITTEN, gaps=gaps(results))
    return attrs.evolve(
        results,
        summaries=summarise(results),
        verdicts=tuple(judge(claim, [results]) for claim in claims_of(results.spec)),
    )


def _finite(row: ResultRow) -> ResultRow:
    """``row`` with None for a metric that is not a finite number, which ``notes`` then names."""
    notes = dict(row.notes)
    for name, value in row.metrics.items():
        if value is None or not math.isfinite(value):
            notes.setdefault(name, "missing" if value is None else str(float(value)))
    metrics = {name: None if name in notes else value for name, value in row.metrics.items()}
    return attrs.evolve(row, metrics=metrics, notes=notes)


def summarise(results: Results) -> tuple[Summary, ...]:
    """The chosen candidates of each cell and method over seeds, in the order of the spec."""
    groups: dict[tuple[str, str], list[ResultRow]] = {}
    for row in results.rows:
        if row.selected:
            groups.setdefault((as_key(row.cell), row.method), []).append(row)
    return tuple(
        _summary(groups[key, method], results)
        for key in map(as_key, results.order.cells)
        for method in results.order.methods
        if (key, method) in groups
    )


def _summary(rows: list[ResultRow], results: Results) -> Summary:
    names = dict.fromkeys(name for row in rows for name in row.metrics)
    values = {
        name: [v for row in rows if (v := row.metrics.get(name)) is not None] for name in names
    }
    return Summary(
        cell=rows[0].cell,
        method=rows[0].method,
        seeds=tuple(row.seed for row in rows),
        metrics={name: statistics(v, bounds_of(results, name)) for name, v in values.items()},
        diverged=sum(bool(row.diverged) for row in rows),
    )
