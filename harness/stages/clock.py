"""How long a stage took: on the wall, on the processors, and on the accelerator."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from statistics import fmean
from typing import Any

from harness.lazy import torch
from harness.plan.plan import Plan
from harness.store import Store

CLOCKS = ("wall", "cpu", "gpu")


class StageClock:
    """Starts when it is made."""

    def __init__(self, device: torch.device) -> None:
        self._gpu = None
        if device.type == "cuda":
            self._gpu = (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True))
            self._gpu[0].record()
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def seconds(self) -> dict[str, float]:
        """``wall``; ``cpu`` of all threads of this process; ``gpu``, where there is one: from the
        first to the last kernel of the stage."""
        found = {}
        if self._gpu is not None:
            self._gpu[1].record()
            self._gpu[1].synchronize()
            found["gpu"] = self._gpu[0].elapsed_time(self._gpu[1]) / 1000
        found["wall"] = time.monotonic() - self._wall
        found["cpu"] = time.process_time() - self._cpu
        return {name: round(value, 3) for name, value in found.items()}


def times_of(rows: Iterable[Mapping[str, Any]], store: Store) -> dict[str, dict[str, float | None]]:
    """By method: mean ``wall``, ``cpu`` and ``gpu`` seconds of one chosen unlearning, with all that
    was prepared for it, and over how many (``n``). They are of the run that computed the stages."""
    found: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        if row["selected"]:
            record = store.record("unlearn", row["keys"]["unlearn"])
            prepared = prepared_for(record, lambda key: store.record("prepare", key))
            found.setdefault(row["method"], []).append(
                _total([record["seconds"], *(other["seconds"] for other in prepared.values())])
            )
    return {
        method: {
            **{name: _mean([t[name] for t in times if name in t]) for name in CLOCKS},
            "n": len(times),
        }
        for method, times in found.items()
    }


def computed(plan: Plan, store: Store) -> dict[str, float]:
    """Seconds of all stages that the results stand on, whenever they were computed."""
    there = (s for s in plan.stages.values() if store.has(s.kind, s.key))
    total = _total(store.record(stage.kind, stage.key)["seconds"] for stage in there)
    return {name: round(value, 1) for name, value in total.items()}


def _total(several: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for seconds in several:
        for name, value in seconds.items():
            total[name] = total.get(name, 0.0) + value
    return total


def _mean(values: list[float]) -> float | None:
    return round(fmean(values), 3) if values else None


def prepared_for(
    record: Mapping[str, Any], read: Callable[[str], Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """The records by key of every stage that prepared something for ``record``, each once."""
    found: dict[str, Mapping[str, Any]] = {}
    todo = list(record.get("prepared", ()))
    while todo:
        key = todo.pop()
        if key not in found:
            found[key] = read(key)
            todo += found[key].get("prepared", ())
    return found
