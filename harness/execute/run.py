"""A whole run: from a plan to a report on disk."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import frozen

from harness.components import get
from harness.errors import UsageError
from harness.execute import environment
from harness.execute.dispatch import Dispatcher
from harness.execute.limits import memory_limit, time_limit
from harness.execute.progress import Watcher, watcher
from harness.execute.workers import Here, Processes, Workers
from harness.plan.plan import Plan
from harness.report import write_report
from harness.report.results import assemble
from harness.report.tables import as_text, claims_table, fitting
from harness.spec.blocks import Use
from harness.spec.check import measured
from harness.spec.origins import Row, written
from harness.spec.structure import unstructure, unstructure_settings
from harness.stages.clock import computed, times_of
from harness.stages.options import Options
from harness.stages.schemas import PUBLISHED
from harness.store import Store

TRIGGERS = 6  # of which the report shows pictures


MOST_POINTS = 60  # of a series in the results


@frozen
class RunRequest:
    """What ``harness run`` was asked to do."""

    plan: Plan
    spec_file: Path
    profile: str | None
    changes: tuple[str, ...]
    origins: list[Row]
    command: str
    out: Path
    store: Path
    data_root: Path | None
    device: str
    jobs: int | None
    offline: bool
    keep_going: bool
    json_log: Path | None
    registry: Path | None = None
    reuse: bool = True
    limit_hours: float | None = None
    limit_memory_gb: float | None = None


@frozen
class Outcome:
    """What a run says at its end."""

    text: str
    exit_code: int


def run_spec(request: RunRequest) -> Outcome:
    """Compute what is missing, write the report, and say how it ended.

    Raises:
        OverBudget, Interrupted: stopped early; what is finished is in the store.
        IntegrityError: what the Hub sent is not what the registry says; nothing was computed.
    """
    with memory_limit(request.limit_memory_gb):
        return _run(request)


def _run(request: RunRequest) -> Outcome:
    begun, started = time.monotonic(), datetime.now(UTC)
    if request.offline:  # also for libraries that would ask the Hub by themselves
        os.environ["HF_HUB_OFFLINE"] = "1"
    store = Store(request.store)
    options = _options(request)
    stop = _stop_flag()
    shown = watcher(request.json_log)
    with shown, _stopping(stop, shown), time_limit(request.limit_hours, stop):
        origins = _from_hub(request, store, shown, stop)
        dispatcher = Dispatcher(request.plan, store, options, shown, stop)
        dispatcher.run(lambda: _workers(request, dispatcher, options, stop))
    home = request.spec_file.resolve().parent
    provenance = {
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - begun, 2),
        "command": request.command,
        "machine": environment.machine(options.devices),
        "versions": environment.versions(),
        "packages": environment.packages(environment.imported() | dispatcher.imported),
        "plugins": dict(environment.plugins()),
        "threads": _threads(dispatcher),
        "git": environment.git_state(home),
        "constraints": environment.constraints_digest(home),
        "deterministic": request.plan.spec.deterministic,
        "stages": {"computed": dispatcher.computed, "hub": origins},
    }
    rows = _rows(request.plan, dispatcher)
    provenance["times"] = times_of(rows, store)
    provenance["computed"] = computed(request.plan, store)
    results = assemble(rows, _context(request, dispatcher), provenance)
    files = write_report(results, request.out) if rows else []
    return _outcome(results, dispatcher, files, request.out)


def _from_hub(request: RunRequest, store: Store, shown: Watcher, stop: Any) -> dict[str, str]:
    """The origins of what could be fetched instead of computed."""
    if request.registry is None or not request.reuse:
        return {}
    from harness.execute.reuse import fetch_needed
    from harness.store.registry import read_registry

    entries = read_registry(request.registry, PUBLISHED)
    if entries.keys().isdisjoint(request.plan.stages):
        return {}
    from harness.store.hub import Hub

    hub = Hub(offline=request.offline)
    return fetch_needed(request.plan, store, entries, hub, shown.note, stop.is_set)


def _options(request: RunRequest) -> Options:
    budget = request.plan.spec.budget
    return Options(
        store=request.store,
        data_root=request.data_root,
        devices=devices(request.device),
        jobs=request.jobs or 0,
        offline=request.offline,
        fail_fast=not request.keep_going,
        deterministic=request.plan.spec.deterministic == "bitwise",
        cpu_hours=budget.cpu_hours,
        gpu_hours=budget.gpu_hours,
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


def _stop_flag() -> Any:
    import multiprocessing

    return multiprocessing.get_context("spawn").Event()


@contextmanager
def _stopping(stop: Any, shown: Watcher) -> Iterator[None]:
    """Ctrl-C once asks running stages to stop; twice ends at once."""

    def ask(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        shown.note("stopping: running stages save their state; Ctrl-C again ends at once")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _workers(request: RunRequest, dispatcher: Dispatcher, options: Options, stop: Any) -> Workers:
    import attrs

    from harness.execute.budget import refuse_over

    budget = request.plan.spec.budget
    if budget.exaflop is not None:
        advice = "Use a smaller --profile, or raise budget.exaflop"
        refuse_over(budget.exaflop, request.plan, dispatcher.store, advice)
    jobs = options.jobs or _fitting_jobs(request.plan, dispatcher, options)
    options = attrs.evolve(options, jobs=min(jobs, max(len(dispatcher.graph), 1)))
    if options.jobs == 1:
        return Here(options, dispatcher.answer, stop)
    return Processes(unstructure(request.plan.spec), options, stop)


def _fitting_jobs(plan: Plan, dispatcher: Dispatcher, options: Options) -> int:
    """As many stages at once as keep the processors busy; one for each accelerator."""
    if options.devices != ("cpu",):
        return len(options.devices)
    from harness.plan.cost import threads_of

    stage = plan.stages[next(iter(dispatcher.graph.missing))]
    return max(1, environment.cpu_count() // threads_of(stage.cell))


def _threads(dispatcher: Dispatcher) -> list[int]:
    """With how many threads stages were computed, wherever that was."""
    return sorted({r["threads"] for r in dispatcher.records.values() if "threads" in r})


def _rows(plan: Plan, dispatcher: Dispatcher) -> list[dict[str, Any]]:
    rows = []
    for i, group in enumerate(plan.groups):
        chosen = dispatcher.retention.chosen.get(i)
        for candidate in group.candidates:
            if candidate.evaluate not in dispatcher.records:
                continue
            row = {
                "cell": dict(group.cell.point),
                "seed": group.cell.seed,
                "method": group.method.label,
                "candidate": dict(candidate.values),
                "selected": candidate is chosen,
                "metrics": dict(dispatcher.metrics_of(candidate.evaluate)),
                "keys": {"unlearn": candidate.unlearn, "evaluate": candidate.evaluate},
            }
            if row["selected"] and (series := _series(candidate.unlearn, dispatcher.store)):
                row["series"] = series
            rows.append(row)
    return rows


def _series(key: str, store: Store) -> dict[str, list[float]]:
    """The lists that a method left, thinned to what a figure can show."""
    series: Mapping[str, list[float]] = store.record("unlearn", key)["series"]
    return {name: _thinned(values) for name, values in series.items()}


def _thinned(values: list[float]) -> list[float]:
    """At most MOST_POINTS of ``values``, the last one always among them."""
    every = max(1, -(-len(values) // (MOST_POINTS - 1)))
    kept = values[::every]
    return kept if (len(values) - 1) % every == 0 else [*kept, *values[-1:]]


def _context(request: RunRequest, dispatcher: Dispatcher) -> dict[str, Any]:
    plan = request.plan
    return {
        "spec": unstructure(plan.spec),
        "profile": request.profile,
        "changes": list(request.changes),
        "origins": written(request.origins) if plan.spec.provenance else [],
        "metrics": _metric_facts(plan),
        "methods": _method_facts(plan),
        "components": _components(plan),
        "data": _data_facts(plan, dispatcher),
        "pictures": _pictures(plan, dispatcher.store),
        "failed": _failures(dispatcher),
        "stages": dict(Counter(stage.kind for stage in plan.stages.values())),
    }


def _metric_facts(plan: Plan) -> dict[str, Any]:
    facts = {}
    for name, use in measured(plan.spec.metrics).items():
        component = get("metrics", use.name)
        better, unit = component.traits.get("better", {}), component.traits.get("unit", "")
        docs = component.traits.get("docs", lambda settings: {})(use.settings)
        facts[name] = {
            "component": use.name,
            "better": better.get(name, "none") if isinstance(better, Mapping) else better,
            "unit": unit.get(name, "") if isinstance(unit, Mapping) else unit,
            "doc": docs.get(name, component.summary),
        }
    return facts


def _method_facts(plan: Plan) -> dict[str, Any]:
    facts = {}
    for method in plan.spec.methods:
        component = get("methods", method.use.name)
        facts[method.label] = {
            "component": component.name,
            "summary": component.summary,
            "source": component.source,
            "sees": sorted(component.traits.get("sees", ())),
            "settings": unstructure_settings(method.use.settings),
        }
    return facts


def _components(plan: Plan) -> list[dict[str, Any]]:
    spec = plan.spec
    uses = [spec.data.dataset, *spec.data.augment, spec.corruption, spec.model, spec.forget]
    uses += [spec.train.optimizer, spec.train.schedule, *spec.metrics]
    uses += [method.use for method in spec.methods]
    found = {(use.kind, use.name): get(use.kind, use.name) for use in uses}
    return [
        {"kind": kind, "name": name, "revision": c.revision, "source": c.source}
        for (kind, name), c in sorted(found.items())
    ]


def _data_facts(plan: Plan, dispatcher: Dispatcher) -> dict[str, Any]:
    for stage in plan.stages.values():
        if stage.kind == "corrupt" and dispatcher.store.has("corrupt", stage.key):
            data: dict[str, Any] = dict(dispatcher.store.record("corrupt", stage.key)["data"])
            return data
    return {}


def _pictures(plan: Plan, store: Store) -> list[dict[str, Any]]:
    """What each trigger of the plan does to some samples, whatever amount is poisoned."""
    found: dict[str, list[dict[str, str]]] = {}
    for stage in plan.stages.values():
        if len(found) == TRIGGERS:
            break
        if stage.kind != "corrupt":
            continue
        title = _trigger_title(stage.cell.corruption)
        if title not in found and store.has("corrupt", stage.key):
            images = store.record("corrupt", stage.key).get("pictures")
            if images:
                found[title] = images
    return [{"title": title, "images": images} for title, images in found.items()]


def _trigger_title(use: Use) -> str:
    """``badnet: patch=3, place=top_left``: every setting but the amount and those left out."""
    settings = unstructure_settings(use.settings)
    shown = [
        f"{name}={value}"
        for name, value in settings.items()
        if name not in ("share", "count") and value is not None
    ]
    return f"{use.name}: {', '.join(shown)}" if shown else use.name


def _failures(dispatcher: Dispatcher) -> list[dict[str, Any]]:
    stages = dispatcher.plan.stages
    stopped = dispatcher.graph.stopped
    return [
        {
            "stage": stages[key].name,
            "key": key,
            "error": reason,
            "stopped": [stages[k].name for k in stopped if _root(k, stopped) == key],
        }
        for key, reason in dispatcher.graph.failed.items()
    ]


def _root(key: str, stopped: Mapping[str, str]) -> str:
    return stopped[key]


_EXIT_CODES = {"OverBudget": 3, "IntegrityError": 4, "RemoteError": 5}


def _outcome(
    results: Mapping[str, Any], dispatcher: Dispatcher, files: list[Path], out: Path
) -> Outcome:
    lines = [fitting(results, shutil.get_terminal_size((120, 24)).columns), ""]
    if results["claims"]:
        lines += [as_text(claims_table(results), "github"), ""]
    if files:
        lines.append(f"report: {out / 'report.html'} and {out / 'report.md'}")
    else:
        lines = [f"nothing was measured, so no report is written and {out} stays as it is"]
    failed = dispatcher.graph.failed
    if not failed:
        return Outcome("\n".join(lines), 0)
    lines += ["", f"{len(failed)} stages failed, {len(dispatcher.graph.stopped)} were not run:"]
    for key, reason in failed.items():
        lines.append(f"  {dispatcher.plan.stages[key].name}: {reason}")
        if trace := dispatcher.traces.get(key):
            lines += ["", trace]
    kinds = set(dispatcher.errors.values())
    code = _EXIT_CODES.get(kinds.pop(), 1) if len(kinds) == 1 else 1
    return Outcome("\n".join(lines), code)
