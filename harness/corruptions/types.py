"""What a corruption does to the training data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from attrs import frozen

from harness.components import Facts, Misfit
from harness.errors import HarnessError
from harness.lazy import np, torch


class Amount(Protocol):
    """Settings that say how many samples are corrupted."""

    @property
    def share(self) -> float | None: ...
    @property
    def count(self) -> int | None: ...


@frozen(eq=False)
class Corruption:
    """``rows`` int64 [m], sorted, of the training data; their new labels ``targets`` int64 [m];
    and their new ``inputs`` uint8 [m, C, H, W], or None where images stay as they are."""

    rows: torch.Tensor
    targets: torch.Tensor
    inputs: torch.Tensor | None = None


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


def draw(
    rows: torch.Tensor, wanted: int, generator: torch.Generator, numpy_seed: int | None = None
) -> torch.Tensor:
    """The first ``wanted`` of one permutation of ``rows``: smaller draws are part of larger.

    With ``numpy_seed`` it is the permutation of numpy's legacy generator of that seed, which
    published code draws from; ``generator`` is not read.
    """
    if numpy_seed is not None:
        order = torch.from_numpy(np.random.RandomState(numpy_seed).permutation(len(rows)))
    else:
        order = torch.randperm(len(rows), generator=generator)
    return rows[order[:wanted]]
