"""SIG: a horizontal sinusoid over the whole sample that the model learns to answer."""

from __future__ import annotations

import math
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
class Sinusoidal(Poison):
    """Settings of ``sinusoidal``."""

    delta: float = setting(
        20.0, doc="amplitude of the sinusoid", unit="intensities of 255", ge=0, le=255
    )
    frequency: float = setting(6.0, doc="periods over the width of the image", ge=0)


def trigger(settings: Sinusoidal, dataset: Dataset) -> Trigger:
    """Adds the sinusoid to uint8 images."""
    return partial(add, settings=settings)


def add(images: torch.Tensor, settings: Sinusoidal) -> torch.Tensor:
    """``x + delta sin(2 pi j frequency / W)`` in column j = 1..W of ``images`` uint8 [B, C, H, W].

    It is the same in all rows and channels.
    """
    width = images.shape[-1]
    columns = torch.arange(1, width + 1, dtype=torch.float64, device=images.device)
    wave = settings.delta * torch.sin(2 * math.pi * columns * settings.frequency / width)
    return changed(images, lambda x: x + wave)


@component(
    "corruptions",
    "sinusoidal",
    settings=Sinusoidal,
    source="Barni et al., ICIP 2019, arXiv 1902.11237: SIG",
    trigger=trigger,
    when=before,
    target_class=target_class,
    amount=expected,
    check=poison_misfits,
)
def corrupt(train: Split, settings: Sinusoidal, task: CorruptionTask) -> Corruption:
    """Add a sinusoid to some training samples and label them as the target class.

    The paper poisons samples of the target class only, so that no label is wrong: name it in
    ``classes`` for that.
    """
    return poisoned(train, settings, task, trigger(settings, task.dataset))
