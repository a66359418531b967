"""Chooses one candidate for each method and cell, and drops the weights of the others."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping

from harness.plan.plan import Candidate, Group, Plan
from harness.spec.blocks import Select
from harness.spec.expression import score

MetricsOf = Callable[[str], Mapping[str, float]]


def choose(group: Group, metrics: Mapping[str, Mapping[str, float]]) -> Candidate:
    """The candidate that ``select`` prefers; the first of equals. ``metrics`` by evaluate key.

    One whose score cannot be computed, because a metric has no value there, comes last.
    """
    select = group.method.select
    if select is None:
        return group.candidates[0]
    if select.at is not None:
        at = select.at.items()
        return next(c for c in group.candidates if all(c.values.get(k, v) == v for k, v in at))
    return max(group.candidates, key=lambda c: _score(select, metrics[c.evaluate]))


def _score(select: Select, metrics: Mapping[str, float]) -> float:
    try:
        found = score(select, metrics)
    except (KeyError, TypeError, ZeroDivisionError):
        return -math.inf
    return -math.inf if math.isnan(found) else found


class Retention:
    """Says when the weights of an unlearned candidate can be dropped.

    They stay while a group that holds the candidate is undecided, when a group chose it, and when
    the spec says ``keep``.
    """

    def __init__(self, plan: Plan) -> None:
        self.chosen: dict[int, Candidate] = {}
        self.kept: set[str] = set()
        self._groups = plan.groups
        self._open = {i: {c.evaluate for c in g.candidates} for i, g in enumerate(plan.groups)}
        self._of: dict[str, list[int]] = {}
        self._undecided = Counter(c.unlearn for g in plan.groups for c in g.candidates)
        for i, group in enumerate(plan.groups):
            for candidate in group.candidates:
                self._of.setdefault(candidate.evaluate, []).append(i)

    def evaluated(self, key: str, metrics_of: MetricsOf) -> list[str]:
        """An ``evaluate`` stage is done. Returns the ``unlearn`` keys that nobody needs now."""
        loose: list[str] = []
        for i in self._of.get(key, ()):
            waiting = self._open.get(i)
            if waiting is None or key not in waiting:
                continue
            waiting.discard(key)
            if not waiting:
                del self._open[i]
                loose += self._decide(i, metrics_of)
        return loose

    def _decide(self, i: int, metrics_of: MetricsOf) -> list[str]:
        group = self._groups[i]
        metrics = {c.evaluate: metrics_of(c.evaluate) for c in group.candidates}
        self.chosen[i] = choose(group, metrics)
        for candidate in group.candidates:
            if group.method.keep or candidate is self.chosen[i]:
                self.kept.add(candidate.unlearn)
            self._undecided[candidate.unlearn] -= 1
        return [c.unlearn for c in group.candidates if self.is_loose(c.unlearn)]

    def is_loose(self, key: str) -> bool:
        """Whether every group that holds the unlearned weights ``key`` has chosen others."""
        return not self._undecided[key] and key not in self.kept
