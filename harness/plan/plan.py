"""What a spec compiles into: unique stages, and the points of its tables that need them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from attrs import frozen

from harness.plan.names import Names
from harness.plan.stage import Cell, Stage
from harness.spec.blocks import MethodUse, Spec


@frozen(eq=False, slots=True)
class Candidate:
    """One point of a method's sweep in one cell: a row of the results."""

    values: Mapping[str, Any]
    unlearn: str
    evaluate: str


@frozen(eq=False, slots=True)
class Group:
    """All candidates of one method in one cell."""

    cell: Cell
    method: MethodUse
    candidates: tuple[Candidate, ...]


@frozen(eq=False, slots=True)
class Choice:
    """The groups that ``select`` reduces together to one candidate.

    One group; or, where metrics look at populations, those of all unlearning seeds. ``scores`` has
    for each candidate the key of the stage that measures its population.
    """

    groups: tuple[Group, ...]
    scores: tuple[str, ...] = ()

    @property
    def method(self) -> MethodUse:
        """The method that is chosen for."""
        return self.groups[0].method

    @property
    def measurements(self) -> tuple[str, ...]:
        """The keys of everything that is measured of the candidates."""
        every = (c.evaluate for group in self.groups for c in group.candidates)
        return (*dict.fromkeys(every), *self.scores)


@frozen(eq=False, slots=False)
class Plan:
    """Stages by key in an order in which inputs come first, and the choices that need them."""

    spec: Spec
    stages: Mapping[str, Stage]
    choices: tuple[Choice, ...]

    @property
    def groups(self) -> tuple[Group, ...]:
        """Every method in every cell."""
        return tuple(group for choice in self.choices for group in choice.groups)

    @property
    def points(self) -> int:
        """How many rows the tables have before anything is merged."""
        return sum(len(group.candidates) for group in self.groups)

    @cached_property
    def _names(self) -> Names:
        return Names(self.stages, self.choices)

    def describe(self, key: str) -> str:
        """What people call a stage: kind, method, cell, seed and candidate."""
        return self._names.of(key)

    def needed(self, keys: Iterable[str]) -> set[str]:
        """``keys``, and everything that they are computed from."""
        todo, found = list(keys), set[str]()
        while todo:
            key = todo.pop()
            if key not in found:
                found.add(key)
                todo += [source for _, source in self.stages[key].inputs]
        return found
