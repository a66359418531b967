"""What each candidate of a swept method scored, chosen or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import evolve, frozen

from harness.report.order import as_key
from harness.report.results import EMPTY, ResultRow, Results, Values
from harness.report.spread import Statistics, statistics

MOST = 400


@frozen
class Tried:
    """One candidate over ``rows`` seeds (and cells), in how many of them it was chosen, and in
    how many it diverged."""

    cell: Values
    method: str
    candidate: Values
    rows: int
    selected: int
    diverged: int
    metrics: Mapping[str, Statistics]


def candidates(results: Results, by_cell: bool = True) -> list[Tried]:
    """The candidates of the methods that were swept.

    Without ``by_cell`` the cells are taken together, and ``cell`` is empty.
    """
    groups: dict[str, list[ResultRow]] = {}
    for row in results.rows:
        if row.candidate:
            cell = row.cell if by_cell else EMPTY
            groups.setdefault(as_key([cell, row.method, row.candidate]), []).append(row)
    tried = [_tried(rows, results.order.metrics) for rows in groups.values()]
    return tried if by_cell else [evolve(one, cell=EMPTY) for one in tried]


def too_many(results: Results) -> bool:
    """Whether the candidates of every cell are too many to read."""
    return len(candidates(results)) > MOST


def _tried(rows: list[ResultRow], metrics: Sequence[str]) -> Tried:
    values = {m: [v for r in rows if (v := r.metrics.get(m)) is not None] for m in metrics}
    return Tried(
        cell=rows[0].cell,
        method=rows[0].method,
        candidate=rows[0].candidate,
        rows=len(rows),
        selected=sum(row.selected for row in rows),
        diverged=sum(bool(row.diverged) for row in rows),
        metrics={name: statistics(found) for name, found in values.items()},
    )
