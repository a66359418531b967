"""How much longer a run takes, by the floating-point operations that it has done."""

from __future__ import annotations

import time
from collections.abc import Mapping

ENOUGH = 0.05  # of the operations, before which a guess means nothing


class Pace:
    """Starts when it is made, with the estimated operations of each stage that is to be done."""

    def __init__(self, flops: Mapping[str, float]) -> None:
        self.todo = dict(flops)
        self.left = sum(flops.values())
        self.done = 0.0
        self.under_way: dict[str, float] = {}
        self.begun = time.monotonic()

    def reached(self, key: str, share: float) -> None:
        """A stage that is being computed has done a share of its work."""
        self.under_way[key] = share * self.todo.get(key, 0.0)

    def ended(self, key: str, *, computed: bool) -> None:
        """A stage is done, or need not be."""
        self.under_way.pop(key, None)
        flops = self.todo.pop(key, 0.0)
        self.left -= flops
        self.done += flops * computed

    def seconds_left(self) -> float | None:
        """A guess; None while too little was done."""
        under_way = sum(self.under_way.values())
        done, left = self.done + under_way, self.left - under_way
        if not self.todo or done <= ENOUGH * (done + left):
            return None
        return (time.monotonic() - self.begun) * left / done


def duration(seconds: float) -> str:
    """``40 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5940 else f"{seconds / 3600:.1f} h"
