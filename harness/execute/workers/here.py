"""Computes in this process."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence

from harness.execute.workers.attempt import attempts
from harness.execute.workers.events import Event
from harness.plan.stage import Stage
from harness.stages.options import Options
from harness.stages.watch import StopFlag


class Here:
    """A worker that is this process: ``emit`` is told of steps while a stage runs."""

    count = 1

    def __init__(self, options: Options, emit: Callable[[Event], None], stop: StopFlag) -> None:
        from harness.stages.world import World

        self.world = World(options)
        self.emit, self.stop = emit, stop
        self.events: deque[Event] = deque()

    def at_hand(self) -> Collection[str] | None:
        return None if self.events else ()  # alone it has all of it: the plan's order

    def start(self, stages: Sequence[Stage]) -> None:
        self.events += attempts(stages, self.world, self.emit, self.stop)

    def next_event(self, timeout: float) -> Event | None:
        if self.events:
            return self.events.popleft()
        time.sleep(timeout)
        return None

    def close(self) -> None: ...
