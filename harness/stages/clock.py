"""How long a stage took: on the wall, on the processors, and on the accelerator."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from harness.lazy import torch


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
