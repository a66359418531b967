"""Which stages have to run, and which of them can run now."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from harness.plan.plan import Plan
from harness.plan.stage import Stage


class Has(Protocol):
    """Whether there is an artifact of a stage, or what stands for it."""

    def __call__(self, stage: Stage, *, tensors: bool) -> bool: ...


class Pending:
    """The stages that a run still needs, by key.

    A stage is needed when it is a target of which ``has`` finds no record, or an input of a needed
    stage of which it does not find the tensors, too. Ready stages come out in the plan's order, so
    that a cell is finished before the next one is begun, but a worker goes on with what it has.
    """

    def __init__(
        self, plan: Plan, targets: Iterable[str], has: Has, late: Collection[str] = ()
    ) -> None:
        """``late`` stages come after all others that are ready, so that many of them are."""
        self.stages = plan.stages
        self.order = {key: (key in late, position) for position, key in enumerate(plan.stages)}
        self.has = has
        self.targets = frozenset(targets)
        self.missing: dict[str, set[str]] = {}
        self.dependents: dict[str, set[str]] = {}
        self.readers: dict[str, set[str]] = {}
        self.failed: dict[str, str] = {}
        self.stopped: dict[str, str] = {}
        self._ready: set[str] = set()
        self._trainings: set[str] = set()
        for key in self.targets:
            if not has(self.stages[key], tensors=False):
                self.need(key)

    def __len__(self) -> int:
        """How many stages are still to be finished."""
        return len(self.missing)

    def _whole(self, key: str) -> bool:
        return self.has(self.stages[key], tensors=True)

    def need(self, target: str) -> None:
        """Add ``target``, and everything that it needs, unless its artifact is there."""
        todo, added = [target], []
        while todo:
            key = todo.pop()
            if key in self.missing or self._whole(key):
                continue
            self.missing[key] = set()
            if self.stages[key].kind == "train":
                self._trainings.add(key)
            added.append(key)
            for _, source in self.stages[key].inputs:
                self.readers.setdefault(source, set()).add(key)
                todo.append(source)
        for key in added:
            self._wait(key)

    def _wait(self, key: str) -> None:
        """(Re)count which inputs of ``key`` are missing; ready at once when none is."""
        inputs = {source for _, source in self.stages[key].inputs}
        lacking = {s for s in inputs if s in self.missing or not self._whole(s)}
        self.missing[key] = lacking
        for source in lacking:
            self.dependents.setdefault(source, set()).add(key)
        if not lacking:
            self.put_back(key)

    def take(self, held: Collection[str] = (), workers: int = 1) -> str | None:
        """The next stage that can run now, of those that read most of what is ``held``; or None.

        What leads to the last trainings comes first, once they are fewer than ``workers``: at the
        end the others would have nothing to do but to wait for them.
        """
        able = self._able()
        left = {key for key in self._trainings if key in self._ready or self.missing[key]}
        first = self._leading(left) if len(left) < workers else set[str]()

        def place(key: str) -> tuple[bool, bool, int, int]:
            late, position = self.order[key]
            share = sum(source in held for _, source in self.stages[key].inputs)
            return late, key not in first, -share, position

        taken = min(able, key=place, default=None)
        self._ready.discard(taken)
        return taken

    def _leading(self, keys: Collection[str]) -> set[str]:
        """``keys`` and all that is missing before them."""
        found, todo = set[str](), [*keys]
        while todo:
            if (key := todo.pop()) not in found:
                found.add(key)
                todo += self.missing.get(key, ())
        return found

    def _able(self) -> set[str]:
        """Stages that can run now; others may have become ready before an input was lost."""
        return {key for key in self._ready if not self.missing.get(key, key)}

    def take_also(self, keys: Iterable[str], most: int) -> list[str]:
        """Of ``keys``, at most so many that can run now."""
        able = self._able()
        taken = [key for key in keys if key in able][:most]
        self._ready.difference_update(taken)
        return taken

    def wanted(self, key: str) -> bool:
        """Whether ``key`` still leads to a target that is not there.

        Another run may have finished the targets, and dropped what only they needed.
        """
        if key in self.targets and not self.has(self.stages[key], tensors=False):
            return True
        return any(self.wanted(reader) for reader in self.readers.get(key, ()))

    def put_back(self, key: str) -> None:
        """Offer ``key`` again: another run was at it."""
        self._ready.add(key)

    def finish(self, key: str) -> None:
        """``key`` has its artifact; what waited for it may become ready."""
        self._remove(key)
        for dependent in self.dependents.pop(key, ()):
            lacking = self.missing.get(dependent)
            if lacking is not None and key in lacking:
                lacking.discard(key)
                if not lacking:
                    self.put_back(dependent)

    def fail(self, key: str, reason: str) -> list[str]:
        """``key`` raised; everything that depends on it is given up. Returns those keys."""
        self.failed[key] = reason
        self._remove(key)
        given_up: list[str] = []
        todo = list(self.dependents.pop(key, ()))
        while todo:
            dependent = todo.pop()
            if self._remove(dependent):
                given_up.append(dependent)
                self.stopped[dependent] = key
                todo += self.dependents.pop(dependent, ())
        return given_up

    def redo(self, damaged: str, key: str) -> None:
        """The artifact of ``damaged`` is gone: compute it again before ``key``."""
        self.need(damaged)
        if key != damaged:
            self._wait(key)

    def _remove(self, key: str) -> bool:
        """Take ``key`` off the list; False when it was not on it."""
        if self.missing.pop(key, None) is None:
            return False
        self._trainings.discard(key)
        for _, source in self.stages[key].inputs:
            self.readers.get(source, set()).discard(key)
        return True

    def needed_later(self, key: str) -> bool:
        """Whether an unfinished stage still reads ``key``."""
        return bool(self.readers.get(key))
