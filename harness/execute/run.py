"""Runs a plan: fetches what the Hub has, computes the rest, and says what was found."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from attrs import frozen

from harness.errors import UsageError
from harness.execute import environment
from harness.execute.dispatch import Dispatcher
from harness.execute.limits import time_limit
from harness.execute.progress import Display, display
from harness.execute.recompute import replaced
from harness.execute.records import is_measurement, sound_records
from harness.execute.replicas import allowed
from harness.execute.workers import Here, Processes, Workers
from harness.plan.kinds import kinds, store_at
from harness.plan.plan import Plan
from harness.spec.structure import unstructure
from harness.stages.options import Options
from harness.stages.watch import StopFlag
from harness.store import Store
from harness.store.files import refuse_unwritable

if TYPE_CHECKING:
    from harness.store.registry import Entry

OFFLINE = "HF_HUB_OFFLINE"


@frozen(kw_only=True)
class RunOptions:
    """A plan, and how it is to be run; ``replicas`` as in ``Options``."""

    plan: Plan
    store: Path
    data_root: Path | None
    device: str
    jobs: int | None
    offline: bool
    keep_going: bool
    json_log: Path | None
    registry: Path | None = None
    reuse: bool = True
    recompute: frozenset[str] = frozenset()  # the keys of stages
    limit_hours: float | None = None
    log_dir: Path | None = None
    replicas: int | None = None


@frozen(kw_only=True)
class Finished:
    """What a run found.

    ``measured`` are the records of what measures, by key; ``chosen`` the position of the chosen
    candidate by that of the choice; ``failed`` the errors by the key of the stage, ``errors`` and
    ``traces`` their classes and tracebacks; ``stopped`` says for each stage that was not run which
    failure was the reason. ``fetched_from`` says by key where on the Hub a stage came from,
    ``apart`` of which reused models something else was measured than the registry says.
    """

    measured: Mapping[str, Mapping[str, Any]]
    chosen: Mapping[int, int]
    failed: Mapping[str, str]
    stopped: Mapping[str, str]
    errors: Mapping[str, str]
    traces: Mapping[str, str]
    computed: int
    fetched_from: Mapping[str, str]
    apart: tuple[str, ...]
    devices: tuple[str, ...]
    imported: frozenset[str]  # by other processes, the outermost names of modules
    started: datetime
    seconds: float

    @property
    def threads(self) -> list[int]:
        """With how many threads stages were computed, wherever that was."""
        return sorted({r["threads"] for r in self.measured.values() if "threads" in r})


def run_plan(run: RunOptions) -> Finished:
    """Compute what is missing.

    Raises:
        OverBudget, Interrupted: stopped early; what is finished is in the store.
        IntegrityError: what the Hub sent is not what the registry says; nothing was computed.
    """
    begun, started = time.monotonic(), datetime.now(UTC)
    store = store_at(run.store)
    options = _options(run)
    stop = threading.Event()
    shown = display(run.plan.describe, run.json_log, *_event_files(run, store))
    limits = time_limit(run.limit_hours, stop)
    again = replaced(run.plan, store, run.recompute)
    with _without_hub(run.offline), shown, _stopping(stop, shown), limits, again:
        records = sound_records(run.plan, store, shown.note)
        entries = _entries(run, shown.note)
        fetched_from = _from_hub(run, store, entries, shown, stop)
        stages = [run.plan.stages[key] for key in fetched_from]
        records |= {s.key: store.record(s.kind, s.key) for s in stages if is_measurement(s)}
        dispatcher = Dispatcher(run.plan, store, records, options, shown, stop)
        dispatcher.run(lambda: _workers(run.plan, dispatcher, options, stop))
        apart = _apart(run, store, entries, dispatcher.records, shown)
    return Finished(
        measured=dispatcher.records,
        chosen=dispatcher.retention.chosen,
        failed=dispatcher.graph.failed,
        stopped=dispatcher.graph.stopped,
        errors=dispatcher.errors,
        traces=dispatcher.traces,
        computed=dispatcher.computed,
        fetched_from=fetched_from,
        apart=tuple(apart),
        devices=options.devices,
        imported=frozenset(dispatcher.imported),
        started=started,
        seconds=time.monotonic() - begun,
    )


def _event_files(run: RunOptions, store: Store) -> list[Display]:
    if run.log_dir is None:
        return []
    from harness.execute.event_files import EventFiles

    return [EventFiles(run.plan.describe, store, run.log_dir)]


@contextmanager
def _without_hub(asked: bool) -> Iterator[None]:
    """Keep libraries that would ask the Hub by themselves from it, until the run is over."""
    before = os.environ.get(OFFLINE)
    if asked:
        os.environ[OFFLINE] = "1"
    try:
        yield
    finally:
        if asked and before is None:
            del os.environ[OFFLINE]
        elif asked and before is not None:
            os.environ[OFFLINE] = before


def _entries(run: RunOptions, note: Callable[[str], None]) -> Mapping[str, Entry]:
    """What the registry has for the plan."""
    if run.registry is None or not run.reuse:
        return {}
    from harness.store.registry import read_registry

    wanted = run.plan.stages.keys() - run.recompute
    return read_registry(run.registry, kinds(), run.plan.spec.id, note, wanted)


def _from_hub(
    run: RunOptions, store: Store, entries: Mapping[str, Entry], shown: Display, stop: StopFlag
) -> dict[str, str]:
    """Fetch what need not be computed. Returns where each stage came from."""
    if not entries:
        return {}
    from harness.execute.reuse import fetch_needed
    from harness.store.hub import Hub

    hub = Hub(offline=run.offline)
    return fetch_needed(run.plan, store, entries, hub, shown.note, stop.is_set)


def _apart(
    run: RunOptions,
    store: Store,
    entries: Mapping[str, Entry],
    measured: Mapping[str, Any],
    shown: Display,
) -> list[str]:
    """Say of which reused models something else was measured than the registry says."""
    if not entries:
        return []
    from harness.execute.reuse import measured_apart

    found = measured_apart(run.plan, store, entries, measured)
    for sentence in found:
        shown.note(sentence)
    return found


def _options(run: RunOptions) -> Options:
    budget, found = run.plan.spec.budget, devices(run.device)
    return Options(
        store=run.store,
        data_root=run.data_root,
        devices=found,
        jobs=run.jobs or 0,
        offline=run.offline,
        fail_fast=not run.keep_going,
        deterministic=run.plan.spec.deterministic == "bitwise",
        cpu_hours=budget.cpu_hours,
        gpu_hours=budget.gpu_hours,
        replicas=allowed(run.replicas, run.plan.spec, found),
    )


def devices(asked: str) -> tuple[str, ...]:
    """The devices that ``--device`` stands for. Raises UsageError for one that is not here."""
    if asked == "cpu" or (asked == "auto" and not environment.has_nvidia_driver()):
        return ("cpu",)
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    every = tuple(f"cuda:{i}" for i in range(count))
    if asked == "auto":
        return every or ("cpu",)
    if asked == "cuda" and every:
        return every
    if asked in every:
        return (asked,)
    raise UsageError(f"--device {asked}: not on this machine (found: {', '.join(('cpu', *every))})")


@contextmanager
def _stopping(stop: StopFlag, shown: Display) -> Iterator[None]:
    """Ctrl-C, or the SIGTERM of a scheduler, asks running stages to stop; twice ends at once."""

    def ask(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        shown.note("stopping: running stages save their state; Ctrl-C again ends at once")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _workers(plan: Plan, dispatcher: Dispatcher, options: Options, stop: StopFlag) -> Workers:
    from harness.execute.budget import left_flops, refuse_over

    refuse_unwritable("the store (--store)", options.store)
    if plan.spec.budget.exaflop is not None:
        advice = "Use a smaller --profile, or raise budget.exaflop"
        refuse_over(plan.spec.budget.exaflop, left_flops(plan, dispatcher.store), advice)
    stages = max(len(dispatcher.graph), 1)
    fitting = _fitting_jobs(plan, dispatcher, options)
    options = attrs.evolve(options, jobs=min(options.jobs or fitting, stages))
    if options.devices == ("cpu",) and options.jobs > fitting:
        dispatcher.display.note(
            f"{options.jobs} stages at once need more threads than there are processors, and wait "
            f"for each other; --jobs {fitting} is faster"
        )
    if options.jobs == 1:
        return Here(options, dispatcher.answer, stop)
    return Processes(unstructure(plan.spec), options, stop, dispatcher.display.note)


def _fitting_jobs(plan: Plan, dispatcher: Dispatcher, options: Options) -> int:
    """As many stages at once as keep the processors busy; one for each accelerator."""
    if options.devices != ("cpu",):
        return len(options.devices)
    from harness.plan.cost import threads_of

    stage = plan.stages[next(iter(dispatcher.graph.missing))]
    return max(1, environment.cpu_count() // threads_of(stage.cell))
