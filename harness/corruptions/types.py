"""What a corruption does to the training data."""

from __future__ import annotations

from harness.data.corruption import Corruption, draw
from harness.errors import HarnessError

__all__ = ["Corruption", "amount", "draw"]


def amount(share: float | None, count: int | None, eligible: int, total: int) -> int:
    """How many samples to corrupt: ``count``, or ``share`` of ``total``.

    Raises:
        HarnessError: not exactly one is given, or more than ``eligible`` are asked for.
    """
    if (share is None) == (count is None):
        raise HarnessError("a corruption needs exactly one of 'share' and 'count'")
    wanted = count if count is not None else round(total * (share or 0))
    if wanted > eligible:
        raise HarnessError(f"{wanted:,} samples are to be corrupted; only {eligible:,} can be")
    if wanted < 1:
        raise HarnessError("the corruption would touch no sample; raise its share or count")
    return wanted
