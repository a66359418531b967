"""What a corruption does to the training data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from harness.components import Facts, Misfit
from harness.data.corruption import Corruption, draw
from harness.errors import HarnessError

__all__ = ["Amount", "Corruption", "amount", "amount_misfits", "draw", "expected"]


class Amount(Protocol):
    """Settings that say how many samples are corrupted."""

    @property
    def share(self) -> float | None: ...
    @property
    def count(self) -> int | None: ...


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


def expected(settings: Amount, total: int) -> int:
    """An estimate of the corrupted samples of ``total`` (trait ``amount``)."""
    return settings.count or round(total * (settings.share or 0))


def amount_misfits(settings: Amount, facts: Facts) -> Iterator[Misfit]:
    """What is wrong with ``share`` and ``count`` (trait ``check``)."""
    if (settings.share is None) == (settings.count is None):
        neither = settings.share is None
        found = "neither" if neither else "both"
        what = f"found {found}; exactly one of share, count is needed"
        yield Misfit("" if neither else "count", what)
    elif facts.train is not None and (settings.count or 0) > facts.train:
        yield Misfit("count", f"found {settings.count:,}; there are {facts.train:,} samples")
    elif facts.train is not None and expected(settings, facts.train) < 1:
        what = f"found {settings.share}; that is no sample of {facts.train:,}"
        yield Misfit("share", what)
