"""CUDA: the images of a class go through a filter of that class."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from harness.components import Facts, Misfit, component, setting
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption
from harness.corruptions.unlearnable import (
    Rounding,
    Unlearnable,
    chosen,
    expected,
    how_stored,
    unlearnable,
)
from harness.data.types import Split
from harness.lazy import F, torch


@frozen
class ConvolutionFilters(Unlearnable):
    """Settings of ``convolution_filters``."""

    side: int = setting(3, doc="of a filter; odd", unit="pixels", ge=3)
    blur: float = setting(
        0.3, doc="weights are uniform in [0, blur], but for one, which is 1", ge=0, le=1
    )
    rounding: Rounding = how_stored("truncate")


def misfits(settings: ConvolutionFilters, facts: Facts) -> Iterator[Misfit]:
    """A filter without a middle (trait ``check``)."""
    if settings.side % 2 == 0:
        yield Misfit("side", f"found {settings.side}; an odd number is needed")


@component(
    "corruptions",
    "convolution_filters",
    settings=ConvolutionFilters,
    amount=expected,
    check=misfits,
    leaves=frozenset({"linf", "l2"}),
    source="Sadasivan et al. (CUDA), arXiv 2303.04278, section 3; repository vinusankars/"
    "Convolution-based-Unlearnability (protocol unlearnability, section 4)",
)
def convolution_filters(
    train: Split, settings: ConvolutionFilters, task: CorruptionTask
) -> Corruption:
    """Correlate each image with its class's filter and divide it by its largest value.

    One filter serves all channels; outside the image there are zeros. The change is not additive
    and has no bound: left are ``linf`` and ``l2``, float32 [m] in intensities of [0, 1], of the
    stored images, and the ``filters``, float32 [classes, side, side].
    """
    rows, side, draws = chosen(settings, task), settings.side, task.generator("filters")
    labels, classes = train.targets[rows], len(task.dataset.classes)
    filters = settings.blur * torch.rand(classes, side * side, generator=draws)
    ones = torch.randint(side * side, (classes, 1), generator=draws)
    filters = filters.scatter(1, ones, 1.0).view(classes, side, side)
    height, width = train.inputs.shape[2:]

    def change(x: torch.Tensor, at: slice) -> torch.Tensor:
        padded, total = F.pad(x, [side // 2] * 4), torch.zeros_like(x)
        own = filters[labels[at]]
        for i in range(side):
            for j in range(side):
                weight = own[:, i, j].view(-1, 1, 1, 1)
                total.addcmul_(padded[..., i : i + height, j : j + width], weight)
        largest = total.flatten(1).amax(1).view(-1, 1, 1, 1)
        return 255 * total / largest.where(largest > 0, 1)  # black images stay black

    return unlearnable(train, rows, change, settings.rounding, filters=filters)
