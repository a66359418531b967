"""Blended: a faint image over the whole sample that the model learns to answer."""

from __future__ import annotations

from functools import partial

from attrs import frozen

from harness.components import component, setting
from harness.corruptions.poison import (
    Poison,
    Trigger,
    before,
    changed,
    poison_misfits,
    poisoned,
    target_class,
)
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption, expected
from harness.data.types import Dataset, Split
from harness.lazy import torch


@frozen
class Blended(Poison):
    """Settings of ``blended``."""

    strength: float = setting(
        0.2, doc="weight of the pattern; 0 leaves the image, 1 replaces it", ge=0, le=1
    )
    seed: int = setting(0, doc="seed of the pattern, which is one in every repeat", ge=0)


def trigger(settings: Blended, dataset: Dataset) -> Trigger:
    """Blends the pattern into uint8 images."""
    return partial(blend, settings=settings)


def blend(images: torch.Tensor, settings: Blended) -> torch.Tensor:
    """``(1 - strength) x + strength k`` for ``images`` x uint8 [B, C, H, W]."""
    draws = torch.Generator().manual_seed(settings.seed)
    pattern = torch.randint(0, 256, images.shape[1:], generator=draws).to(images.device)
    share = settings.strength
    return changed(images, lambda x: (1 - share) * x + share * pattern)


@component(
    "corruptions",
    "blended",
    settings=Blended,
    source="Chen et al., arXiv 1712.05526, section 4: blended injection of a random pattern",
    trigger=trigger,
    when=before,
    target_class=target_class,
    amount=expected,
    check=poison_misfits,
)
def corrupt(train: Split, settings: Blended, task: CorruptionTask) -> Corruption:
    """Blend one random image into some training samples and label them as the target class.

    Every pixel of the pattern is uniform over 0 to 255 in each channel, independently.
    """
    return poisoned(train, settings, task, trigger(settings, task.dataset))
