"""What a corruption does to the training data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from attrs import field, frozen

from harness.components import Facts, Misfit
from harness.data.types import Split
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
    """The corrupted samples; of what is left out, the samples stay as they are.

    rows: int64 [m] of the training data, each once.
    targets: their new labels, int64 [m].
    inputs: their new inputs [m, *shape], stored as the data set's are; images may be float32
        intensities in [0, 255] instead, which reach augmentation unrounded and unclipped.
    deltas: float32 [m, *shape], added to their stored inputs; of images in intensities of 255.
    rule: their inputs are made whenever a batch is drawn, by the component's trait ``rule``.
    added: samples that are appended to the training data, stored as its own or, for images, as
        float32. Their rows follow the data set's last; they count as training and as corrupted.
    tensors: whatever else the corruption leaves, by name: for its rule, and for metrics
        (``Evidence.corruption``).

    At most one of inputs, deltas and rule is given.
    """

    rows: torch.Tensor
    targets: torch.Tensor | None = None
    inputs: torch.Tensor | None = None
    deltas: torch.Tensor | None = None
    rule: bool = False
    added: Split | None = None
    tensors: Mapping[str, torch.Tensor] = field(factory=dict)


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
