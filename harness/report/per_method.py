"""One row a method: the mean over cells, with the weights of the spec, and over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from harness.report.order import as_key
from harness.report.pairs import bounds_of
from harness.report.record import Seed
from harness.report.results import ResultRow, Results
from harness.report.spread import Statistics, statistics
from harness.report.weights import weighted_mean, weights_of

Cells = Mapping[str, ResultRow]  # the chosen results of one method and seed


@frozen
class MethodMean:
    """What the chosen candidates of a method measured in ``cells`` cells of the spec, without the
    metrics that have nothing to measure of it, and for how many seeds one of them diverged."""

    method: str
    cells: int
    seeds: tuple[Seed, ...]
    metrics: Mapping[str, Statistics]
    diverged: int


def per_method(results: Results) -> tuple[MethodMean, ...]:
    """Every method that has results, in the order of the spec.

    Cells of one seed share their base model, so the spread is that of the seeds' means. Seeds
    without a result in every cell are left out, so that all means run over the same cells; where no
    seed has all, they run over the cells that every seed of the method has, and ``cells`` says how
    many those are. A seed without a finite number in one of the cells does not count for a metric.
    """
    found: dict[str, dict[Seed, dict[str, ResultRow]]] = {}
    for row in results.rows:
        if row.selected:
            found.setdefault(row.method, {}).setdefault(row.seed, {})[as_key(row.cell)] = row
    every = {as_key(cell) for cell in results.order.cells}
    means = []
    for method in results.order.methods:
        seeds = found.get(method, {})
        seeds = {s: cells for s, cells in seeds.items() if cells.keys() == every} or seeds
        shared = set.intersection(*(set(cells) for cells in seeds.values())) if seeds else set()
        if shared:
            metrics = {
                name: _mean(results, name, list(seeds.values()), shared)
                for name in results.order.metrics
                if any(name in row.metrics for cells in seeds.values() for row in cells.values())
            }
            lost = sum(any(row.diverged for row in cells.values()) for cells in seeds.values())
            means.append(MethodMean(method, len(shared), tuple(seeds), metrics, lost))
    return tuple(means)


def _mean(results: Results, metric: str, seeds: Sequence[Cells], shared: set[str]) -> Statistics:
    several = ({key: cells[key].metrics.get(metric) for key in sorted(shared)} for cells in seeds)
    whole = ({key: v for key, v in values.items() if v is not None} for values in several)
    weigh = weights_of(results)
    each = [weighted_mean(values, weigh) for values in whole if len(values) == len(shared)]
    return statistics(each, bounds_of(results, metric))
