"""Crops, flips and holes, drawn for each image of a batch and applied on the device.

Images are uint8 [B, C, H, W], or float32 of the same range where a corruption's change is no whole
number; what comes out is of the type that came in, and float32 is never rounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

from attrs import frozen

from harness.components import Facts, Misfit, NoSettings, component, setting
from harness.errors import HarnessError
from harness.lazy import F, torch


@frozen
class RandomCrop:
    """Settings of ``random_crop``."""

    padding: int = setting(4, doc="pixels added on each side before the crop", unit="pixels", ge=0)
    mode: Literal["zero", "reflect"] = setting("zero", doc="what the added pixels hold")


def crop_misfits(settings: RandomCrop, facts: Facts) -> Iterator[Misfit]:
    """More reflected pixels than the image has (trait ``check``)."""
    _, height, width = facts.encoding.shape
    if settings.mode == "reflect" and settings.padding >= min(height, width):
        what = f"{settings.padding} pixels cannot be reflected in images of {height}x{width}"
        yield Misfit("padding", what)


@component(
    "augmentations",
    "random_crop",
    settings=RandomCrop,
    source="He et al. 2016, section 4.2",
    check=crop_misfits,
    moves=True,
)
def random_crop(
    images: torch.Tensor, settings: RandomCrop, generator: torch.Generator
) -> torch.Tensor:
    """Shift each image by up to ``padding`` pixels both ways.

    uint8 or float32 [B, C, H, W] in and out.

    Raises:
        HarnessError: ``reflect`` with as many pixels as the image has.
    """
    pad = settings.padding
    if pad == 0:
        return images
    count, _, height, width = images.shape
    if settings.mode == "reflect" and pad >= min(height, width):
        raise HarnessError(f"random_crop: {pad} pixels cannot be reflected in {height}x{width}")
    offsets = torch.randint(2 * pad + 1, (2, count, 1), generator=generator).to(images.device)
    if settings.mode == "zero":
        padded = F.pad(images, (pad, pad, pad, pad))
    else:
        padded = F.pad(images.float(), (pad, pad, pad, pad), mode="reflect").to(images.dtype)
    rows = (offsets[0] + torch.arange(height, device=images.device))[:, None, :, None]
    columns = (offsets[1] + torch.arange(width, device=images.device))[:, None, None, :]
    batch = torch.arange(count, device=images.device)[:, None, None, None]
    channels = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
    return padded[batch, channels, rows, columns]


@component(
    "augmentations", "horizontal_flip", source="Krizhevsky et al. 2012, section 4.1", moves=True
)
def horizontal_flip(
    images: torch.Tensor, settings: NoSettings, generator: torch.Generator
) -> torch.Tensor:
    """Mirror each image left to right with probability 1/2.

    uint8 or float32 [B, C, H, W] in and out.
    """
    flipped = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)
    return torch.where(flipped[:, None, None, None], images.flip(-1), images)


@frozen
class Cutout:
    """Settings of ``cutout``."""

    size: int = setting(8, doc="side of the square hole", unit="pixels", gt=0)


def cutout_misfits(settings: Cutout, facts: Facts) -> Iterator[Misfit]:
    """A hole that is larger than the image (trait ``check``)."""
    _, height, width = facts.encoding.shape
    if settings.size > min(height, width):
        what = f"a hole of {settings.size} pixels does not fit images of {height}x{width}"
        yield Misfit("size", what)


@component(
    "augmentations",
    "cutout",
    settings=Cutout,
    source="DeVries and Taylor, arXiv 1708.04552",
    check=cutout_misfits,
)
def cutout(images: torch.Tensor, settings: Cutout, generator: torch.Generator) -> torch.Tensor:
    """Blacken a square around a random pixel, clipped at the border.

    uint8 or float32 [B, C, H, W] in and out.
    """
    count, _, height, width = images.shape
    lines = []
    for extent in (height, width):
        centre = torch.randint(extent, (count,), generator=generator).to(images.device)
        size = torch.full_like(centre, settings.size)
        lines.append(inside(extent, centre - settings.size // 2, size))
    hole = lines[0][:, None, :, None] & lines[1][:, None, None, :]
    return images.masked_fill(hole, 0)


def inside(extent: int, first: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    """bool [B, extent]: the places from ``first`` on, int64 [B], as many as ``size`` says."""
    place = torch.arange(extent, device=first.device)
    return (place >= first[:, None]) & (place < (first + size)[:, None])


@frozen
class RandomResizedCrop:
    """Settings of ``random_resized_crop``."""

    smallest: float = setting(0.08, doc="smallest share of the area that is kept", gt=0, le=1)
    stretch: float = setting(4 / 3, doc="largest ratio of the sides, either way", ge=1)


@component(
    "augmentations",
    "random_resized_crop",
    settings=RandomResizedCrop,
    source="Szegedy et al. 2015; area and ratio as in torchvision's RandomResizedCrop",
    moves=True,
)
def random_resized_crop(
    images: torch.Tensor, settings: RandomResizedCrop, generator: torch.Generator
) -> torch.Tensor:
    """A random part of each image, enlarged to the image's own size.

    uint8 or float32 [B, C, H, W] in and out. Area uniform in [smallest, 1], ratio of the sides
    log-uniform; a part that does not fit is cut to the image. Bilinear, all images at once.
    """
    count, _, height, width = images.shape
    draws = torch.rand(4, count, generator=generator)
    area = settings.smallest + (1 - settings.smallest) * draws[0]
    ratio = torch.exp(math.log(settings.stretch) * (2 * draws[1] - 1))
    wide = (area * ratio).sqrt().clamp(max=1)
    high = (area / ratio).sqrt().clamp(max=1)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = wide, high
    theta[:, 0, 2] = (1 - wide) * (2 * draws[2] - 1)
    theta[:, 1, 2] = (1 - high) * (2 * draws[3] - 1)
    size = [count, images.shape[1], height, width]
    grid = F.affine_grid(theta.to(images.device), size, align_corners=False)
    crops = F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    if images.is_floating_point():
        return crops
    return crops.round().clamp(0, 255).to(torch.uint8)
