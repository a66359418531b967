"""Takes what a plan needs from the Hub before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Container, Iterator, Mapping
from functools import partial
from typing import Any

from harness.errors import RemoteError
from harness.execute.pending import Pending
from harness.execute.records import reported
from harness.plan.kinds import kind_of
from harness.plan.plan import Plan
from harness.plan.stage import Stage
from harness.stages.foreign import unlike
from harness.store import Store
from harness.store.fetch import fetch
from harness.store.hub import Hub
from harness.store.registry import Entry

Note = Callable[[str], None]
APART = 0.01  # of a share, or of a number above 1: more than another machine's rounding


def fetch_needed(
    plan: Plan,
    store: Store,
    entries: Mapping[str, Entry],
    hub: Hub,
    note: Note,
    stopped: Callable[[], bool],
) -> dict[str, str]:
    """Fetch the artifacts that spare computing a stage, until ``stopped``. Returns by
    key where each came from.

    A repository that cannot be reached is noted and left alone: its stages are computed.

    Raises:
        IntegrityError: a file is not what the registry says, or not of the stage.
    """
    sources: dict[str, str] = {}
    lost: set[str] = set()

    def offered(stage: Stage) -> bool:
        entry = entries.get(stage.key)
        if entry is None or entry.repo in lost or entry.kind != stage.kind:
            return False
        # Without the records of what was prepared for it, its cost is not known.
        return all(store.has(s.kind, s.key) or offered(s) for s in prepared_for(plan, stage))

    while wanted := dict.fromkeys(_wanted(plan, store, offered)):
        for stage in wanted:
            if stopped():
                return sources
            entry = entries[stage.key]
            try:
                fetch(entry, hub, store, partial(unlike, stage))
            except RemoteError as error:
                lost.add(entry.repo)
                note(f"{error}. Going on without {entry.repo}: what it has is computed")
                break
            sources[stage.key] = f"{entry.repo}@{entry.commit}"
            note(f"from the Hub: {plan.describe(stage.key)} ({entry.repo}@{entry.commit[:12]})")
    return sources


def _wanted(plan: Plan, store: Store, offered: Callable[[Stage], bool]) -> Iterator[Stage]:
    """The stages whose artifacts the Hub has, the store lacks, and a missing stage reads."""

    def has(stage: Stage, *, tensors: bool) -> bool:
        return _spared(stage, store, offered, tensors=tensors)

    targets = reported(plan)
    missing = Pending(plan, targets, has).missing
    read = {source for key in missing for _, source in plan.stages[key].inputs}
    for key, stage in plan.stages.items():
        if key in targets and key not in missing and not store.has(stage.kind, key):
            yield stage
        if key in read and key not in missing and offered(stage):
            yield from (s for s in prepared_for(plan, stage) if not store.has(s.kind, s.key))
            if not store.has(stage.kind, key, tensors=True):
                yield stage


def _spared(stage: Stage, store: Store, offered: Callable[[Stage], bool], *, tensors: bool) -> bool:
    """Whether the artifact of ``stage`` is there, with ``tensors`` where it has any and they are
    asked for, or on the Hub."""
    kind = kind_of(stage)
    if store.has(stage.kind, stage.key, tensors=tensors and kind.tensors):
        return True
    return offered(stage) and (kind.published_whole or not tensors)


def to_compute(plan: Plan, store: Store, entries: Mapping[str, Entry]) -> Collection[str]:
    """The keys of what a run computes, once it has fetched what ``entries`` offer."""

    def offered(stage: Stage) -> bool:
        return stage.key in entries and entries[stage.key].kind == stage.kind

    def has(stage: Stage, *, tensors: bool) -> bool:
        return _spared(stage, store, offered, tensors=tensors)

    return Pending(plan, reported(plan), has).missing


def prepared_for(plan: Plan, stage: Stage) -> Iterator[Stage]:
    """What was prepared for ``stage``, directly or not."""
    if kind_of(stage).tensors:
        for _, key in stage.inputs:
            source = plan.stages[key]
            if kind_of(source).published == "record":
                yield from prepared_for(plan, source)
                yield source


def models_of(plan: Plan, store: Store, wanted: Container[str]) -> Iterator[tuple[str, str]]:
    """The ``wanted`` models in ``store`` with the key of what is measured of each: the unlearned
    ones, and the base models where a method left one as it is."""
    for candidate in (c for group in plan.groups for c in group.candidates):
        stage = plan.stages[candidate.unlearn]
        if stage.key in wanted and store.has(stage.kind, stage.key):
            yield stage.key, candidate.evaluate
        base = dict(stage.inputs).get("base")
        if base is not None and base in wanted and _same(store, stage, plan.stages[base]):
            yield base, candidate.evaluate


def _same(store: Store, *stages: Stage) -> bool:
    """Whether ``store`` has all of them, with the same tensors."""
    if not all(store.has(stage.kind, stage.key) for stage in stages):
        return False
    return len({store.digest(stage.kind, stage.key) for stage in stages}) == 1


def measured_apart(
    plan: Plan, store: Store, entries: Mapping[str, Entry], measured: Mapping[str, Any]
) -> list[str]:
    """A sentence for each reused model of which something else is measured than its entry says."""
    told: dict[str, str] = {}
    for key, evaluate in models_of(plan, store, entries):
        entry, here = entries[key], measured.get(evaluate)
        if here is None or key in told or not _is_of(entry, store):
            continue
        apart = [
            f"{name} {here['metrics'][name]:.4g} instead of {value:.4g}"
            for name, value in entry.metrics.items()
            if value is not None and name in here["metrics"]
            if not math.isclose(value, here["metrics"][name], rel_tol=APART, abs_tol=APART)
        ]
        if apart:
            told[key] = (
                f"{plan.describe(key)} from {entry.repo} is not what its registry entry "
                f"{entry.file.name} says: measured here {', '.join(apart)}"
            )
    return list(told.values())


def _is_of(entry: Entry, store: Store) -> bool:
    """Whether the artifact in ``store`` is the published one, whenever it was fetched."""
    published = entry.tensors and entry.tensors.sha256
    return published is not None and store.digest(entry.kind, entry.key) == published


def pull(
    plan: Plan, store: Store, entries: Mapping[str, Entry], hub: Hub, note: Note
) -> tuple[int, int]:
    """Fetch everything that the registry has for ``plan``. Returns how many were fetched, and how
    many were there already.

    Raises:
        RemoteError, IntegrityError: as ``fetch``; what was fetched before stays.
    """
    fetched = there = 0
    for stage in plan.stages.values():
        entry = entries.get(stage.key)
        if entry is None or entry.kind != stage.kind:
            continue
        if store.has(stage.kind, stage.key, tensors=entry.tensors is not None):
            there += 1
            continue
        fetch(entry, hub, store, partial(unlike, stage))
        note(f"{plan.describe(stage.key)} ({entry.repo}@{entry.commit[:12]})")
        fetched += 1
    return fetched, there
