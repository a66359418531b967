"""What a stage reports while it runs: steps to the display, samples to the meter."""

from __future__ import annotations

from collections.abc import Callable

from harness.errors import Interrupted, OverBudget
from harness.execute.workers import Event, StopFlag
from harness.plan.stage import Stage
from harness.training.watch import Meter


class StageWatch:
    """Passes on the progress of one stage, stops it when asked, and enforces ``max_cost``.

    ``limit`` bounds the samples that the stage may process, in forward equivalents: a sample
    forward counts one, backward two.
    """

    def __init__(self, stage: Stage, emit: Callable[[Event], None], stop: StopFlag) -> None:
        self.stage, self.emit, self.stop = stage, emit, stop
        self.meter = Meter()
        self.limit: float | None = None

    def step(self, done: int, total: int, loss: float | None) -> None:
        """Report ``done`` of ``total`` steps. Raises Interrupted or OverBudget."""
        if self.stop.is_set():
            raise Interrupted("stopped")
        if self.limit is not None and self.meter.work > self.limit:
            raise OverBudget(
                f"costs more than max_cost {self.stage.max_cost} of the base training: "
                f"{self.meter.work:,.0f} sample passes so far, {self.limit:,.0f} allowed"
            )
        self.emit(("step", self.stage.key, done, total, loss))
