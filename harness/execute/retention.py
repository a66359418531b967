"""Chooses one candidate for each method and cell, and drops the weights of the others."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from statistics import fmean

from harness.plan.plan import Candidate, Choice, Plan
from harness.spec.blocks import Select
from harness.spec.expression import score

Metrics = Mapping[str, float]
MetricsOf = Callable[[str], Metrics]


def choose(choice: Choice, metrics_of: MetricsOf) -> int:
    """The position of the candidate that ``select`` prefers; the first of equals.

    ``metrics_of`` gives what an ``evaluate`` or ``score`` stage measured, by key. A candidate whose
    score cannot be computed, because a metric has no value there, comes last but for those that
    diverged, of which nothing is measured.
    """
    select = choice.method.select
    candidates = choice.groups[0].candidates
    if select is None:
        return 0
    if select.at is not None:
        at = select.at.items()
        return next(
            i for i, c in enumerate(candidates) if all(c.values.get(k, v) == v for k, v in at)
        )
    found = [measured(choice, i, metrics_of) for i in range(len(candidates))]
    return max(range(len(found)), key=lambda i: (bool(found[i]), _score(select, found[i])))


def measured(choice: Choice, position: int, metrics_of: MetricsOf) -> Metrics:
    """What is measured of a candidate: means over the groups, and of their population."""
    found = [metrics_of(group.candidates[position].evaluate) for group in choice.groups]
    means = {
        name: fmean(metrics[name] for metrics in found)
        for name in found[0]
        if all(name in metrics for metrics in found)
    }
    return means | (dict(metrics_of(choice.scores[position])) if choice.scores else {})


def _score(select: Select, metrics: Metrics) -> float:
    try:
        found = score(select, metrics)
    except (KeyError, TypeError, ZeroDivisionError):
        return -math.inf
    return -math.inf if math.isnan(found) else found


class Retention:
    """Says when the weights of an unlearned model can be dropped.

    Those of a candidate stay while a choice that holds it is undecided, when it was chosen, and
    when the spec says ``keep``. Of a population the outputs are kept, and weights of the first
    model alone: those of the others, and of models that it is compared with, go once nothing reads
    them any more.
    """

    def __init__(self, plan: Plan) -> None:
        self.chosen: dict[int, int] = {}  # of each choice, the position of the chosen candidate
        self.kept: set[str] = set()
        self._choices = plan.choices
        # What has to be measured before a choice can be made, and the choices that wait for a key:
        # looking through all groups after each of 100,000 evaluations would be quadratic.
        self._open = {i: set(choice.measurements) for i, choice in enumerate(plan.choices)}
        self._waiting: dict[str, list[int]] = {}
        for i, keys in self._open.items():
            for key in keys:
                self._waiting.setdefault(key, []).append(i)
        # Two choices can hold one candidate: its weights go only when neither wants them.
        self._undecided = Counter(c.unlearn for i in self._open for c in self._keepable(i))
        self._known = {c.unlearn for group in plan.groups for c in group.candidates}
        stages = (stage for stage in plan.stages.values() if stage.kind == "outputs")
        self._known |= {key for s in stages for role, key in s.inputs if role == "unlearned"}

    def _keepable(self, i: int) -> list[Candidate]:
        """The candidates of a choice of which one, or with ``keep`` each, stays."""
        choice = self._choices[i]
        groups = choice.groups if choice.method.keep else choice.groups[:1]
        return [candidate for group in groups for candidate in group.candidates]

    def finished(self, key: str, metrics_of: MetricsOf) -> list[str]:
        """A measurement is done. Returns the keys of weights that nobody needs now."""
        loose: list[str] = []
        for i in self._waiting.get(key, ()):
            open_keys = self._open.get(i)
            if open_keys is None or key not in open_keys:
                continue
            open_keys.discard(key)
            if not open_keys:
                del self._open[i]
                loose += self._decide(i, metrics_of)
        return loose

    def _decide(self, i: int, metrics_of: MetricsOf) -> list[str]:
        choice = self._choices[i]
        position = self.chosen[i] = choose(choice, metrics_of)
        every = self._keepable(i)
        if choice.method.keep:
            self.kept.update(c.unlearn for c in every)
        self.kept.add(choice.groups[0].candidates[position].unlearn)
        for candidate in every:
            self._undecided[candidate.unlearn] -= 1
        return [c.unlearn for c in every if self.is_loose(c.unlearn)]

    def is_loose(self, key: str) -> bool:
        """Whether ``key`` are weights of an unlearned model that no choice wants or may want."""
        return key in self._known and not self._undecided[key] and key not in self.kept
