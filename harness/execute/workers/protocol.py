"""What a dispatcher asks of workers, wherever they compute."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from harness.execute.workers.events import Event
from harness.plan.stage import Stage


class Workers(Protocol):
    """Takes stages, those of one ``start`` to be computed together, and answers with events."""

    count: int

    def at_hand(self) -> Collection[str] | None:
        """What the worker that starts next has made or read last; None where all are at work."""

    def start(self, stages: Sequence[Stage]) -> None: ...
    def next_event(self, timeout: float) -> Event | None: ...
    def close(self) -> None: ...
