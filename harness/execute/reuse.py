"""Takes what a plan needs from the Hub before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from harness.errors import RemoteError
from harness.execute.pending import Pending
from harness.plan.kinds import kind_of, kinds
from harness.plan.plan import Plan
from harness.plan.stage import Stage
from harness.store import Store
from harness.store.fetch import fetch
from harness.store.hub import Hub
from harness.store.registry import Entry

Note = Callable[[str], None]


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
        IntegrityError: a file is not what the registry says.
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
                fetch(entry, hub, store, kinds()[entry.kind].record)
            except RemoteError as error:
                lost.add(entry.repo)
                note(f"{error}. Going on without {entry.repo}: what it has is computed")
                break
            sources[stage.key] = f"{entry.repo}@{entry.commit}"
            note(f"from the Hub: {plan.describe(stage.key)} ({entry.repo}@{entry.commit[:12]})")
    return sources


def _wanted(plan: Plan, store: Store, offered: Callable[[Stage], bool]) -> Iterator[Stage]:
    """The stages whose artifacts the Hub has, the store lacks, and a missing stage reads."""

    def has(stage: Stage) -> bool:
        return _spared(stage, store, offered)

    missing = _missing(plan, has)
    read = {source for key in missing for _, source in plan.stages[key].inputs}
    for key, stage in plan.stages.items():
        if key in read and key not in missing and offered(stage):
            yield from (s for s in prepared_for(plan, stage) if not store.has(s.kind, s.key))
            if not store.has(stage.kind, key, tensors=True):
                yield stage


def _spared(stage: Stage, store: Store, offered: Callable[[Stage], bool]) -> bool:
    """Whether the artifact of ``stage`` is there, or whole on the Hub."""
    kind = kind_of(stage)
    there = store.has(stage.kind, stage.key, tensors=kind.tensors)
    return there or (kind.published_whole and offered(stage))


def _missing(plan: Plan, has: Callable[[Stage], bool]) -> Collection[str]:
    targets = [key for key, stage in plan.stages.items() if not kind_of(stage).tensors]
    return Pending(plan, targets, has).missing


def to_compute(plan: Plan, store: Store, entries: Mapping[str, Entry]) -> Collection[str]:
    """The keys of what a run computes, once it has fetched what ``entries`` offer."""

    def offered(stage: Stage) -> bool:
        return stage.key in entries and entries[stage.key].kind == stage.kind

    return _missing(plan, lambda stage: _spared(stage, store, offered))


def prepared_for(plan: Plan, stage: Stage) -> Iterator[Stage]:
    """What was prepared for ``stage``, directly or not."""
    if kind_of(stage).tensors:
        for _, key in stage.inputs:
            source = plan.stages[key]
            if kind_of(source).published == "record":
                yield from prepared_for(plan, source)
                yield source


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
        fetch(entry, hub, store, kinds()[entry.kind].record)
        note(f"{plan.describe(stage.key)} ({entry.repo}@{entry.commit[:12]})")
        fetched += 1
    return fetched, there
