"""Takes what a plan needs from the Hub before anything is computed."""

from __future__ import annotations

import math
import queue
import time
from collections import deque
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any

from harness.errors import HarnessError, IntegrityError, RemoteError
from harness.execute.pending import Pending
from harness.execute.records import reported
from harness.plan.kinds import kind_of
from harness.plan.plan import Plan
from harness.plan.stage import Stage
from harness.stages.foreign import unlike
from harness.store import Store
from harness.store.answers import Unreachable
from harness.store.fetch import fetch
from harness.store.hub import Hub
from harness.store.registry import Entry

Note = Callable[[str], None]
Offered = Callable[[Stage], Entry | None]
AT_ONCE = 8  # downloads
SILENCE = 10.0  # seconds, after which a line says what has come so far
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

    def offered(stage: Stage) -> Entry | None:
        entry = _entry_of(stage, entries)
        if entry is None or entry.repo in lost:
            return None
        # Without the records of what was prepared for it, its cost is not known.
        known = all(store.has(s.kind, s.key) or offered(s) for s in prepared_for(plan, stage))
        return entry if known else None

    while wanted := list(dict.fromkeys(_wanted(plan, store, offered))):
        for stage, error in _fetched(wanted, store, entries, hub, note, lost, stopped):
            entry = entries[stage.key]
            if isinstance(error, RemoteError):
                if entry.repo not in lost:
                    note(f"{error}. Going on without {entry.repo}: what it has is computed")
                lost.add(entry.repo)
            elif error is not None:
                raise error
            else:
                sources[stage.key] = f"{entry.repo}@{entry.commit}"
                note(f"from the Hub: {plan.describe(stage.key)} ({entry.repo}@{entry.commit[:12]})")
        if stopped():
            break
    return sources


def _entry_of(stage: Stage, entries: Mapping[str, Entry]) -> Entry | None:
    entry = entries.get(stage.key)
    return entry if entry is not None and entry.kind == stage.kind else None


def _fetched(
    stages: Sequence[Stage],
    store: Store,
    entries: Mapping[str, Entry],
    hub: Hub,
    note: Note,
    lost: Container[str] = (),
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Stage, HarnessError | None]]:
    """Fetch ``stages``, several at a time, but nothing more from a repository that is ``lost`` or
    closed to us: each with its error as it is done. Ctrl-C, ``stopped`` and an error of the caller
    end it."""
    todo, done = deque(stages), queue.Queue[tuple[Stage, BaseException | None]]()
    total = sum(f.bytes for stage in stages for f in entries[stage.key].files.values())
    repos = ", ".join(sorted({entries[stage.key].repo for stage in stages}))
    closed: set[str] = set()
    note(f"fetching {len(stages):,} checkpoints, {total:,} bytes, from {repos}")

    def work() -> None:
        while todo:
            try:
                stage = todo.popleft()
            except IndexError:
                return
            entry, error = entries[stage.key], None
            try:
                if entry.repo in lost or entry.repo in closed:
                    raise RemoteError(f"{entry.repo} was not asked for {entry.path}")
                fetch(entry, hub, store, partial(unlike, stage))
            except BaseException as problem:
                error = problem
                if isinstance(error, Unreachable):
                    closed.add(entry.repo)
            done.put((stage, error))

    for _ in range(min(AT_ONCE, len(stages))):
        Thread(target=work, daemon=True).start()  # which nobody waits for after Ctrl-C
    left, said, ended = len(stages), time.monotonic(), False
    try:
        while left and not stopped():
            if time.monotonic() - said > SILENCE:
                note(f"{hub.received:,} bytes are here, {left:,} checkpoints are to come")
                said = time.monotonic()
            with suppress(queue.Empty):
                stage, error = done.get(timeout=0.1)
                left -= 1
                if error is not None and not isinstance(error, HarnessError):
                    raise error
                yield stage, error
        ended = not left
    finally:
        todo.clear()
        if not ended:
            hub.stop()


def _wanted(plan: Plan, store: Store, offered: Offered) -> Iterator[Stage]:
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


def _spared(stage: Stage, store: Store, offered: Offered, *, tensors: bool) -> bool:
    """Whether the artifact of ``stage`` is there, with ``tensors`` where it has any and they are
    asked for, or on the Hub."""
    tensors = tensors and kind_of(stage).tensors
    if store.has(stage.kind, stage.key, tensors=tensors):
        return True
    entry = offered(stage)
    return entry is not None and (entry.tensors is not None or not tensors)


def to_compute(plan: Plan, store: Store, entries: Mapping[str, Entry]) -> Collection[str]:
    """The keys of what a run computes, once it has fetched what ``entries`` offer."""

    def has(stage: Stage, *, tensors: bool) -> bool:
        return _spared(stage, store, lambda s: _entry_of(s, entries), tensors=tensors)

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
                f"{entry.place} says: measured here {', '.join(apart)}"
            )
    return list(told.values())


def _is_of(entry: Entry, store: Store) -> bool:
    """Whether the artifact in ``store`` is the published one, whenever it was fetched."""
    published = entry.tensors and entry.tensors.sha256
    return published is not None and store.digest(entry.kind, entry.key) == published


def pull(
    plan: Plan,
    store: Store,
    entries: Mapping[str, Entry],
    hub: Hub,
    note: Note,
    *,
    keep_going: bool = False,
) -> tuple[int, int]:
    """Fetch everything that the registry has for ``plan``. Returns how many were fetched, and how
    many were there already.

    Raises:
        RemoteError, IntegrityError: as ``fetch``; what was fetched before stays. With
            ``keep_going`` after everything else, but for what a lost repository has.
    """
    offers = {s: e for s in plan.stages.values() if (e := _entry_of(s, entries)) is not None}
    missing = [
        stage
        for stage, entry in offers.items()
        if not store.has(stage.kind, stage.key, tensors=entry.tensors is not None)
    ]
    errors: list[HarnessError] = []
    fetched = 0
    for stage, error in _fetched(missing, store, entries, hub, note) if missing else ():
        entry = entries[stage.key]
        if error is None:
            fetched += 1
            name = f"{plan.describe(stage.key)} ({entry.repo}@{entry.commit[:12]})"
            note(f"[{fetched}/{len(missing)}] {name}")
            continue
        if not keep_going:
            raise error
        errors.append(error)
    if errors:
        worst = max(errors, key=lambda error: isinstance(error, IntegrityError))
        shown = "\n".join(map(str, errors[:20]))
        raise type(worst)(f"{len(errors)} of {len(missing)} were not fetched:\n{shown}")
    return fetched, len(offers) - len(missing)
