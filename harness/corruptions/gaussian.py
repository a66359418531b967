"""Gaussian noise on training samples whose labels stay: poison whose traces can be counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import frozen

from harness.components import Facts, Misfit, component, setting
from harness.components.contracts import EVERY_ENCODING
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption, amount, amount_misfits, draw, expected
from harness.data.changes import Replacement
from harness.data.types import Dataset, Split
from harness.lazy import torch


@frozen
class Gaussian:
    """Settings of ``gaussian``."""

    std: float = setting(
        doc="standard deviation of every value's noise, in image intensities of [0, 1] or in the "
        "units of features or of tokens' vectors",
        gt=0,
        example=0.1,
    )
    share: float | None = setting(None, doc="share of the training data", gt=0, le=1, example=0.02)
    count: int | None = setting(None, doc="samples with noise", unit="samples", gt=0)
    width: int | None = setting(
        None, doc="of texts: the size of a token's vector in the model", unit="numbers", gt=0
    )


def misfits(settings: Gaussian, facts: Facts) -> Iterator[Misfit]:
    """An amount that is none, or a width of what has none (trait ``check``)."""
    yield from amount_misfits(settings, facts)
    text = facts.encoding.name == "tokens"
    if text and settings.width is None:
        yield Misfit("", "the noise of a text is as wide as its tokens' vectors: give 'width'")
    if not text and settings.width is not None:
        yield Misfit("width", f"found {settings.width}; only tokens have vectors")


def rule(
    settings: Gaussian, dataset: Dataset, tensors: Mapping[str, torch.Tensor]
) -> Callable[[Any, torch.Tensor], torch.Tensor]:
    """The noise that a model adds to the vectors of a text's tokens (trait ``rule``)."""
    return Replacement(tensors["rows"], tensors["noise"], len(dataset.train.targets))


@component(
    "corruptions",
    "gaussian",
    settings=Gaussian,
    acts_on=EVERY_ENCODING,
    rule=rule,
    when=lambda settings: "before" if settings.width is None else "after",
    vectors="width",
    amount=expected,
    check=misfits,
    leaves=frozenset({"noise", "std"}),
    source="Pawelczyk et al., arXiv 2406.17216, Algorithms 1 and 2 (protocol section 2.1)",
)
def gaussian(train: Split, settings: Gaussian, task: CorruptionTask) -> Corruption:
    """Train on x + noise instead of x, with noise ~ N(0, std^2 I) drawn for each sample; y stays.

    The noise is neither rounded nor clipped, so that it is Gaussian as the score needs it: what
    reaches augmentation may lie outside of the range of images. Left beside the clean data are
    ``noise`` float32 [m, *shape], of images in intensities of 255, and its ``std`` in that unit.
    The noise has a stream of its own, and that of a smaller count is part of a larger one's; of
    another ``std``, it is the same up to its size.

    Texts of L tokens keep them: the noise, [m, L, width], is added to their vectors in the model,
    drawn at padding too, which no model reads. It takes 4 * m * L * width bytes in the store and,
    while a stage draws batches, in memory and on the device.

    Raises:
        HarnessError: share and count say nothing, or more samples than there are.
    """
    number = amount(settings.share, settings.count, len(task.rows), len(task.rows))
    order = draw(task.rows, number, task.generator()).sort()
    std = settings.std * (255 if task.dataset.encoding.name == "images" else 1)
    vector = () if settings.width is None else (settings.width,)
    draws, shape = task.generator("noise"), (*train.inputs.shape[1:], *vector)
    # One call for all samples would give those of a smaller count other last values.
    noise = torch.stack([torch.randn(shape, generator=draws) for _ in range(number)])
    noise = std * noise[order.indices]
    left = {"noise": noise, "std": torch.tensor(std)}
    if vector:
        return Corruption(order.values, rule=True, tensors=left)
    return Corruption(order.values, deltas=noise, tensors=left)
