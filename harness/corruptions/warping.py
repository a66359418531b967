"""WaNet: a smooth warp of the whole sample that the model learns to answer."""

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
from harness.lazy import F, torch


@frozen
class Warping(Poison):
    """Settings of ``warping``."""

    grid: int = setting(4, doc="control points along each side (k of the paper)", ge=2)
    strength: float = setting(
        0.5, doc="size of the warp (s of the paper); its mean shift is about s/2 pixels", ge=0
    )
    seed: int = setting(0, doc="seed of the warp, which is one in every repeat", ge=0)


def trigger(settings: Warping, dataset: Dataset) -> Trigger:
    """Warps uint8 images."""
    return partial(warp, settings=settings)


def field(settings: Warping, height: int, width: int) -> torch.Tensor:
    """Where each pixel is read from: float32 [1, H, W, 2] of (x, y), -1 and 1 at the outer pixels.

    Control points are uniform in [-1, 1], divided by the mean of their absolute values, upsampled
    bicubically, and added to the identity in units of ``strength / side``. What leaves the image
    is clipped to its border.
    """
    draws = torch.Generator().manual_seed(settings.seed)
    control = 2 * torch.rand(1, 2, settings.grid, settings.grid, generator=draws) - 1
    control = control / control.abs().mean()
    shift = F.interpolate(control, size=(height, width), mode="bicubic", align_corners=True)
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij"
    )
    sides = torch.tensor([width, height])
    warped = torch.stack([x, y], -1) + settings.strength * shift.permute(0, 2, 3, 1) / sides
    return warped.clamp(-1, 1)


def warp(images: torch.Tensor, settings: Warping) -> torch.Tensor:
    """``images`` uint8 [B, C, H, W], each pixel read bilinearly from where the field points."""
    places = field(settings, *images.shape[-2:]).to(images.device)
    return changed(
        images,
        lambda x: F.grid_sample(x, places.expand(len(x), -1, -1, -1), align_corners=True),
    )


@component(
    "corruptions",
    "warping",
    settings=Warping,
    source="Nguyen and Tran, ICLR 2021, arXiv 2102.10369, section 3: WaNet without noise mode",
    trigger=trigger,
    when=before,
    target_class=target_class,
    amount=expected,
    check=poison_misfits,
)
def corrupt(train: Split, settings: Warping, task: CorruptionTask) -> Corruption:
    """Warp some training samples smoothly and label them as the target class.

    The paper's noise mode is left out: no sample is warped by a random field with its label kept.
    """
    return poisoned(train, settings, task, trigger(settings, task.dataset))
