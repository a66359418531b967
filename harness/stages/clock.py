"""What a stage took: time on the wall, processors and accelerator, and their memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from harness.lazy import torch


class StageClock:
    """Starts when it is made."""

    def __init__(self, device: torch.device) -> None:
        self._gpu = None
        if device.type == "cuda":
            self._gpu = (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True))
            self._gpu[0].record()
            torch.cuda.reset_peak_memory_stats(device)
        self._device, self._used = device, list[int]()
        _forget_peak()
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def seconds(self, away: float = 0.0) -> dict[str, float]:
        """``wall``; ``cpu`` of all threads of this process; ``gpu``, where there is one: from the
        first to the last kernel of the stage. ``away``: those that went to other stages."""
        found = {}
        if self._gpu is not None:
            self._gpu[1].record()
            self._gpu[1].synchronize()
            found["gpu"] = self._gpu[0].elapsed_time(self._gpu[1]) / 1000
        found["wall"] = time.monotonic() - self._wall
        found["cpu"] = time.process_time() - self._cpu
        own = 1 - away / found["wall"] if away else 1.0
        return {name: round(own * value, 3) for name, value in found.items()}

    def sample(self) -> None:
        """Look at how busy the accelerator is, where its driver can be asked."""
        if self._gpu is not None:
            try:
                self._used.append(torch.cuda.utilization(self._device))
            except Exception:  # without pynvml, or a driver that refuses: it stays unknown
                return

    def resources(self) -> dict[str, float]:
        """Peaks in bytes: ``memory`` of this process, on Linux, and ``gpu_memory``; ``gpu_use`` is
        the mean share of the time in which a kernel ran."""
        peak = _peak()
        found: dict[str, float] = {} if peak is None else {"memory": peak}
        if self._gpu is not None:
            found["gpu_memory"] = torch.cuda.max_memory_allocated(self._device)
        if self._used:
            found["gpu_use"] = round(fmean(self._used) / 100, 3)
        return found


def _forget_peak() -> None:
    """Count the peak of this process from now on."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak() -> int | None:
    """The most memory that this process had at once; None where the system is not Linux."""
    try:
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])
    except (OSError, IndexError):
        return None


def spent(record: Mapping[str, Any], read: Callable[[str], Mapping[str, Any]]) -> dict[str, float]:
    """What the meter of ``record`` counted, with that of all that was prepared for it."""
    total = dict(record["meter"])
    for prepared in preparations_of(record, read).values():
        for name, count in prepared["meter"].items():
            total[name] = total.get(name, 0) + count
    return total


def preparations_of(
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
