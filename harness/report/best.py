"""Which methods' means stand out in a table with one row a method."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.chosen import ORACLE, choices
from harness.report.numbers import plain_number
from harness.report.per_method import MethodMean
from harness.report.results import MethodFacts, MetricFacts, Results

BOLD = "Bold: no worse than any method that sees the same or less, where both have every cell."


def best(results: Results, metric: str, means: Sequence[MethodMean]) -> set[str]:
    """The methods that no other is better than which was given no more; numbers as they are read.

    A method that has no such other, because it was given least, is not among them.
    """
    better = results.metrics.get(metric, MetricFacts()).better
    sign = {"higher": 1, "lower": -1}.get(better, 0)
    cells = len(results.order.cells)
    values = {
        mean.method: sign * float(plain_number(found))
        for mean in means
        if metric in mean.metrics and mean.cells == cells and sign
        if (found := mean.metrics[metric].mean) is not None
    }
    given = {method: _given(results, method) for method in values}
    rivals = {m: [o for o in values if o != m and given[o] <= given[m]] for m in values}
    return {m for m in values if rivals[m] and values[m] >= max(map(values.__getitem__, rivals[m]))}


def _given(results: Results, method: str) -> set[str]:
    """What a method sees, and the metrics of the test where those chose its candidate."""
    chosen = {ORACLE} if choices(results).get(method) == ORACLE else set()
    return {*results.methods.get(method, MethodFacts()).sees, *chosen}
