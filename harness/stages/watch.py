"""What a stage reports while it runs: steps to the display, samples to the meter."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeAlias

from harness.errors import Interrupted, OverBudget
from harness.plan.stage import Stage
from harness.training.watch import Meter

SHOW_SECONDS = 0.2

Progress: TypeAlias = Callable[[int, int, float | None], None]  # steps done, in all, and the loss


class StopFlag(Protocol):
    """A threading or multiprocessing event."""

    def is_set(self) -> bool: ...
    def set(self) -> None: ...


class StageWatch:
    """Passes on the progress of one stage, stops it when asked, and enforces ``max_cost``.

    ``limit`` bounds the samples that the stage may process, in forward equivalents: a sample
    forward counts one, backward two.
    """

    def __init__(self, stage: Stage, progress: Progress, stop: StopFlag) -> None:
        self.stage, self.progress, self.stop = stage, progress, stop
        self.meter = Meter()
        self.limit: float | None = None
        self._shown = 0.0
        self._loss: float | None = None

    def step(self, done: int, total: int, loss: float | None) -> None:
        """Report ``done`` of ``total`` steps. Raises Interrupted or OverBudget."""
        if self.stop.is_set():
            raise Interrupted("stopped")
        if self.limit is not None and self.meter.work > self.limit:
            raise OverBudget(
                f"costs more than max_cost {self.stage.max_cost} of the base training: "
                f"{self.meter.work:,.0f} sample passes so far, {self.limit:,.0f} allowed"
            )
        self._loss = loss if loss is not None else self._loss
        now = time.monotonic()
        if now - self._shown > SHOW_SECONDS:
            self._shown = now
            self.progress(done, total, self._loss)
