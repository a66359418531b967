"""What each method takes from what is to be forgotten and from what is to be kept, and its cost."""

from __future__ import annotations

from collections.abc import Iterator

from harness.report.base import drops
from harness.report.numbers import with_interval
from harness.report.pairs import bounds_of, means, values
from harness.report.results import MetricFacts, Results
from harness.report.spread import Statistics, statistics
from harness.report.weights import weights_of

COST = "cost_share"


def forgotten(results: Results) -> Iterator[str]:
    """A sentence for each method that takes something, where a drop without a better direction (of
    what is to be forgotten) and one that should be small are measured: the first of each."""
    of, first = drops(results), dict[str, str]()
    for drop in of:
        first.setdefault(results.metrics.get(drop, MetricFacts()).better, drop)
    wanted, unwanted = first.get("none"), first.get("lower")
    if wanted is None or unwanted is None:
        return
    for method in results.order.methods:
        gone, lost, cost = (_mean(results, method, name) for name in (wanted, unwanted, COST))
        if gone.mean is None or lost.mean is None or not (gone.mean or lost.mean):
            continue
        share = f", for {with_interval(cost)} of the base model's training" if cost.n else ""
        yield (
            f"{method} takes {with_interval(gone)} of {of[wanted]} and {with_interval(lost)} of "
            f"{of[unwanted]}{share}."
        )


def _mean(results: Results, method: str, metric: str) -> Statistics:
    each = means(values(results, metric, method), weights_of(results))
    return statistics([*each.values()], bounds_of(results, metric))
