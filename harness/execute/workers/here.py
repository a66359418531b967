"""Computes one stage at a time in this process."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from harness.execute.workers.attempt import attempt
from harness.execute.workers.events import Event, Stepped
from harness.plan.stage import Stage
from harness.stages.options import Options
from harness.stages.watch import StopFlag


class Here:
    """A worker that is this process: ``emit`` is told of steps while a stage runs."""

    def __init__(self, options: Options, emit: Callable[[Event], None], stop: StopFlag) -> None:
        from harness.stages.world import World

        self.world = World(options)
        self.emit, self.stop = emit, stop
        self.events: deque[Event] = deque()

    def idle(self) -> int:
        return 0 if self.events else 1

    def start(self, stage: Stage) -> None:
        def progress(done: int, total: int, loss: float | None) -> None:
            self.emit(Stepped(stage.key, done, total, loss))

        self.events.append(attempt(stage, self.world, progress, self.stop))

    def next_event(self, timeout: float) -> Event | None:
        if self.events:
            return self.events.popleft()
        time.sleep(timeout)
        return None

    def close(self) -> None: ...
