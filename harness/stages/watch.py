"""What a stage reports while it runs: steps to the display, samples to the meter."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from harness.errors import Interrupted, OverBudget
from harness.training.watch import Meter

SHOW_SECONDS = 0.2

Progress = Callable[[int, int, float | None], None]


class StopFlag(Protocol):
    """A threading event."""

    def is_set(self) -> bool: ...
    def set(self) -> None: ...


class StageWatch:
    """Passes on the progress of one stage, stops it when asked, and enforces ``max_cost``.

    ``limit`` bounds the samples that the stage may process, in forward equivalents: a sample
    forward counts one, backward two. ``limit_text`` says what it is; ``meeting``: its seat.
    """

    def __init__(self, progress: Progress, stop: StopFlag, meeting: Any = None) -> None:
        self.progress, self.stop, self.meeting = progress, stop, meeting
        self.meter = Meter()
        self.limit: float | None = None
        self.limit_text = ""
        self._shown = 0.0
        self._loss: float | None = None

    def step(self, done: int, total: int, loss: float | None) -> None:
        """Report ``done`` of ``total`` steps: with every loss, else now and then.

        Raises Interrupted or OverBudget.
        """
        if self.stop.is_set():
            raise Interrupted("stopped")
        if self.limit is not None and self.meter.work > self.limit:
            raise OverBudget(
                f"costs more than {self.limit_text}: "
                f"{self.meter.work:,.0f} sample passes so far, {self.limit:,.0f} allowed"
            )
        self._loss = loss if loss is not None else self._loss
        now = time.monotonic()
        if loss is not None or now - self._shown > SHOW_SECONDS:
            self._shown = now
            self.progress(done, total, self._loss)
