"""How a run is carried out; nothing here changes a number."""

from __future__ import annotations

from pathlib import Path

import attrs
from attrs import frozen


@frozen
class Options:
    """Where a run reads and writes, and on what it computes.

    ``devices`` are torch's names (``cpu``, ``cuda:0``); workers take them in turn. ``cpu_hours``
    and ``gpu_hours`` are the budget of the spec, counted over all workers. ``replicas``: the most
    stages that are computed together, where they differ in their seeds alone; None: what pays.
    """

    store: Path
    data_root: Path | None
    devices: tuple[str, ...]
    jobs: int
    offline: bool = False
    fail_fast: bool = False
    deterministic: bool = True
    cpu_hours: float | None = None
    gpu_hours: float | None = None
    replicas: int | None = 1

    def for_worker(self, number: int) -> Options:
        """The options of worker ``number``: its one device."""
        return attrs.evolve(self, devices=(self.devices[number % len(self.devices)],))
