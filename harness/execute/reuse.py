"""Takes what a plan needs from the Hub before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from harness.errors import RemoteError
from harness.execute.graph import Graph
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
    """Fetch the artifacts that spare computing a stage, until ``stopped``. Returns where from.

    A repository that cannot be reached is noted and left alone: its stages are computed.

    Raises:
        IntegrityError: a file is not what the registry says.
    """
    fetched_from: dict[str, str] = {}
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
                return fetched_from
            entry = entries[stage.key]
            try:
                fetch(entry, hub, store)
            except RemoteError as error:
                lost.add(entry.repo)
                note(f"{error}. Going on without {entry.repo}: what it has is computed")
                break
            fetched_from[stage.key] = f"{entry.repo}@{entry.commit}"
            note(f"from the Hub: {stage.name} ({entry.repo}@{entry.commit[:12]})")
    return fetched_from


def _wanted(plan: Plan, store: Store, offered: Callable[[Stage], bool]) -> Iterator[Stage]:
    """The stages whose artifacts the Hub has, the store lacks, and a missing stage reads."""

    def has(stage: Stage) -> bool:
        if store.has(stage.kind, stage.key, tensors=stage.kind != "evaluate"):
            return True
        return stage.kind != "prepare" and offered(stage)

    targets = [key for key, stage in plan.stages.items() if stage.kind == "evaluate"]
    missing = Graph(plan, targets, has).missing
    read = {source for key in missing for _, source in plan.stages[key].inputs}
    for key, stage in plan.stages.items():
        if key in read and key not in missing and offered(stage):
            yield from (s for s in prepared_for(plan, stage) if not store.has(s.kind, s.key))
            if not store.has(stage.kind, key, tensors=True):
                yield stage


def prepared_for(plan: Plan, stage: Stage) -> Iterator[Stage]:
    """What was prepared for ``stage``, directly or not."""
    if stage.kind in ("unlearn", "prepare"):
        for role, key in stage.inputs:
            if role.startswith("prepare:"):
                yield from prepared_for(plan, plan.stages[key])
                yield plan.stages[key]


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
        fetch(entry, hub, store)
        note(f"{stage.name} ({entry.repo}@{entry.commit[:12]})")
        fetched += 1
    return fetched, there
