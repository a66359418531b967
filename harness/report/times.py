"""What the stages behind some results took, and by what code, whenever they were computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from statistics import fmean

from harness.errors import IntegrityError
from harness.plan.kinds import sources_of
from harness.plan.plan import Plan
from harness.report.record import from_plain
from harness.report.results import ResultRow, Seconds
from harness.stages.clock import preparations_of
from harness.store import Store


def times_of(rows: Iterable[ResultRow], store: Store) -> dict[str, Seconds]:
    """By method: the mean of one chosen unlearning, with all that was prepared for it.

    A row whose records were lost, and could not be computed again, does not count.
    """
    found: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        if row.selected:
            try:
                record = store.record("unlearn", row.keys["unlearn"])
                prepared = preparations_of(record, lambda key: store.record("prepare", key))
            except IntegrityError:
                continue
            found.setdefault(row.method, []).append(
                _total([record["seconds"], *(other["seconds"] for other in prepared.values())])
            )
    return {
        method: Seconds(
            wall=_mean(times, "wall"),
            cpu=_mean(times, "cpu"),
            gpu=_mean(times, "gpu"),
            n=len(times),
        )
        for method, times in found.items()
    }


def computed(plan: Plan, store: Store) -> tuple[Seconds, Counter[str]]:
    """All stages that the results stand on together; and by built-in component (``methods ssd``)
    how many of them were computed before its source changed."""
    seconds: list[Mapping[str, float]] = []
    edited: Counter[str] = Counter()
    for stage in plan.stages.values():
        if store.has(stage.kind, stage.key):
            record = store.record(stage.kind, stage.key)
            seconds.append(record["seconds"])
            now, then = sources_of(stage), record["stage"].get("sources", {})
            edited.update(name for name, said in then.items() if now.get(name, said) != said)
    total = {name: round(value, 1) for name, value in _total(seconds).items()}
    return from_plain(Seconds, total), edited


def resources(plan: Plan, store: Store) -> dict[str, dict[str, float]]:
    """By kind: the peaks of memory of its stages, and how busy the accelerator was."""
    found: dict[str, dict[str, list[float]]] = {}
    for stage in plan.stages.values():
        if store.has(stage.kind, stage.key):
            taken = store.record(stage.kind, stage.key).get("resources", {})
            for name, value in taken.items():
                found.setdefault(stage.kind, {}).setdefault(name, []).append(value)
    return {
        kind: {n: round(fmean(v), 3) if n == "gpu_use" else max(v) for n, v in several.items()}
        for kind, several in found.items()
    }


def _total(several: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for seconds in several:
        for name, value in seconds.items():
            total[name] = total.get(name, 0.0) + value
    return total


def _mean(times: list[dict[str, float]], clock: str) -> float | None:
    values = [seconds[clock] for seconds in times if clock in seconds]
    return round(fmean(values), 3) if values else None
