"""As many methods as a panel has room for, by one rule that the figure states."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

from harness.report.figures.parts import averaged
from harness.report.results import MethodFacts, MetricFacts, Results

MOST_METHODS = 8


def few(
    results: Results, labels: Collection[str], metrics: Iterable[str], most: int = MOST_METHODS
) -> tuple[list[str], str]:
    """``most`` of ``labels`` to draw, in the order of the spec, and the rule where some are left.

    References come first: methods that see the original weights alone (they do nothing) or not at
    all (they start from scratch). Then those that claims name, and those of the best mean rank over
    those of ``metrics`` that have a better direction.
    """
    methods = [label for label in results.order.methods if label in labels]
    if len(methods) <= most:
        return methods, ""
    ranked = [
        (name, -1 if facts.better == "higher" else 1)
        for name in metrics
        if (facts := results.metrics.get(name, MetricFacts())).better != "none"
    ]
    means = {
        label: {name: averaged(rows, name, 0).over_seeds.mean for name, _ in ranked}
        for label in methods
        for rows in [[row for row in results.rows if row.selected and row.method == label]]
    }
    claimed = {claim.get("method") for claim in results.spec["claims"]}

    def place(label: str) -> tuple[bool, bool, int]:
        ahead = (
            other
            for name, sign in ranked
            for other in means.values()
            if _signed(other[name], sign) < _signed(means[label][name], sign)
        )
        return not is_reference(results, label), label not in claimed, sum(1 for _ in ahead)

    first = sorted(methods, key=place)
    kept = [label for label in methods if label in first[:most]]
    over = " and ".join(name for name, _ in ranked)
    best = f"the best mean rank over {over}" if over else "the first of the spec"
    rule = (
        f"{len(kept)} of {len(methods)} methods: references (they do nothing, or start from "
        f"scratch), then those that claims name, then {best}; not drawn: "
        f"{', '.join(label for label in methods if label not in kept)}."
    )
    return kept, rule


def _signed(value: float | None, sign: int) -> float:
    return math.inf if value is None else sign * value


def is_reference(results: Results, label: str) -> bool:
    """Whether a method sees the original weights alone, or not at all."""
    sees = results.methods.get(label, MethodFacts()).sees
    return bool(sees) and ("original weights" not in sees or len(sees) == 1)
