"""Noise that knows no labels: the control beside poison of the same norm."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from harness.components import component, setting
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
from harness.lazy import torch


@frozen
class Noise(Unlearnable):
    """Settings of ``noise``."""

    distribution: Literal["uniform", "sign", "gaussian"] = setting(
        "uniform", doc="of each value, before it is brought to its norm"
    )
    norm: Literal["linf", "l2"] = setting(
        "linf", doc="of an image's noise: its largest value, or its Euclidean length"
    )
    epsilon: float = setting(
        8.0,
        doc="the norm: linf in intensities of 255, l2 in intensities of [0, 1]",
        gt=0,
        le=255,
    )
    rounding: Rounding = how_stored()


@component(
    "corruptions",
    "noise",
    settings=Noise,
    amount=expected,
    leaves=frozenset({"linf", "l2"}),
    source="control of the same norm (protocol unlearnability, sections 8.1 and 9.1)",
)
def noise(train: Split, settings: Noise, task: CorruptionTask) -> Corruption:
    """Add noise to every image, drawn anew for each and regardless of its label.

    ``linf``: values are uniform in [-epsilon, epsilon], or -epsilon or epsilon (sign), or Gaussian
    with a standard deviation of epsilon / 2, clipped to it. ``l2``: each image's noise is scaled
    to length epsilon. Clipping to the range of images makes it smaller, 8 bits change the length
    by about 0.1 % at length 1. Left are ``linf`` and ``l2``, float32 [m] in intensities of [0, 1],
    of the stored images.
    """
    draws = task.generator("noise")

    def change(x: torch.Tensor, at: slice) -> torch.Tensor:
        if settings.distribution == "gaussian":
            values = torch.randn(x.shape, generator=draws) / 2
        else:
            values = 2 * torch.rand(x.shape, generator=draws) - 1
        if settings.distribution == "sign":
            values = torch.where(values < 0, -1.0, 1.0)
        if settings.norm == "linf":
            return x + settings.epsilon * values.clamp(-1, 1)
        length = values.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        return x + 255 * settings.epsilon * values / length

    return unlearnable(train, chosen(settings, task), change, settings.rounding)
