"""An additive pattern, too faint to be seen, that the model learns to answer."""

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
class Invisible(Poison):
    """Settings of ``invisible``."""

    epsilon: int = setting(
        8, doc="largest change of a pixel (L-infinity)", unit="intensities of 255", ge=0, le=255
    )
    seed: int = setting(0, doc="seed of the pattern, which is one in every repeat", ge=0)


def trigger(settings: Invisible, dataset: Dataset) -> Trigger:
    """Adds the pattern to uint8 images."""
    return partial(add, settings=settings)


def add(images: torch.Tensor, settings: Invisible) -> torch.Tensor:
    """``images`` uint8 [B, C, H, W] plus or minus ``epsilon`` in every pixel, clipped."""
    draws = torch.Generator().manual_seed(settings.seed)
    signs = 2 * torch.randint(0, 2, images.shape[1:], generator=draws) - 1
    pattern = (settings.epsilon * signs).to(images.device)
    return changed(images, lambda x: x + pattern)


@component(
    "corruptions",
    "invisible",
    settings=Invisible,
    source="after Liao et al., arXiv 1808.10307 (CODASPY 2020), with random signs as the pattern",
    trigger=trigger,
    when=before,
    target_class=target_class,
    amount=expected,
    check=poison_misfits,
)
def corrupt(train: Split, settings: Invisible, task: CorruptionTask) -> Corruption:
    """Add a faint pattern to some training samples and label them as the target class.

    Simplified: the paper adds a regular pattern, or a universal adversarial perturbation that is
    optimised against a model. Here every pixel and channel has a fixed random sign, nothing is
    optimised, and no image moves further than ``epsilon`` in any pixel.
    """
    return poisoned(train, settings, task, trigger(settings, task.dataset))
