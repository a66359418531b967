"""Augmentations that mix two images of a batch, and their labels."""

from __future__ import annotations

from attrs import frozen

from harness.components import component, setting
from harness.data.augmentations.spatial import inside
from harness.lazy import torch

Mixed = tuple["torch.Tensor", "torch.Tensor"]


@frozen
class Mixing:
    """Settings of ``mixup`` and ``cutmix``."""

    alpha: float = setting(
        1.0, doc="both parameters of the weight's Beta distribution; 1 is uniform", gt=0
    )


def _draws(count: int, settings: Mixing, generator: torch.Generator, device: torch.device) -> Mixed:
    """The weight of each image of a batch, float32 [B], and its partner, int64 [B]."""
    shape = torch.full((2, count), settings.alpha)
    own, other = torch._standard_gamma(shape, generator=generator)
    partner = torch.randperm(count, generator=generator)
    return (own / (own + other)).to(device), partner.to(device)


def _weighed(labels: torch.Tensor, weight: torch.Tensor, partner: torch.Tensor) -> torch.Tensor:
    return weight[:, None] * labels + (1 - weight[:, None]) * labels[partner]


@component(
    "augmentations",
    "mixup",
    settings=Mixing,
    source="Zhang et al., ICLR 2018, arXiv 1710.09412, equation 1; a weight for each image and "
    "uniform weights as in kornia's RandomMixUpV2",
    over="labelled batch",
)
def mixup(
    images: torch.Tensor, labels: torch.Tensor, settings: Mixing, generator: torch.Generator
) -> Mixed:
    """Weigh each image and its label with those of another of the batch.

    uint8 or float32 [B, C, H, W] and float32 [B, classes] in, float32 out.
    """
    weight, partner = _draws(len(images), settings, generator, images.device)
    own, share = images.float(), weight[:, None, None, None]
    return share * own + (1 - share) * own[partner], _weighed(labels, weight, partner)


@component(
    "augmentations",
    "cutmix",
    settings=Mixing,
    source="Yun et al., ICCV 2019, arXiv 1905.04899, section 3.1; a box for each image as in "
    "kornia's RandomCutMixV2",
    over="labelled batch",
)
def cutmix(
    images: torch.Tensor, labels: torch.Tensor, settings: Mixing, generator: torch.Generator
) -> Mixed:
    """Put a box of another image of the batch in each, and weigh the labels by area.

    uint8 or float32 [B, C, H, W] and float32 [B, classes] in, float32 out. Around a uniformly drawn
    pixel lies a box with (1 - weight) of the area, clipped at the border; labels get the share that
    is left of each image.
    """
    count, _, height, width = images.shape
    weight, partner = _draws(count, settings, generator, images.device)
    half = 0.5 * (1 - weight).sqrt()
    lines = []
    for extent in (height, width):
        centre = torch.randint(extent, (count,), generator=generator).to(images.device)
        reach = (half * extent).int()
        lines.append(inside(extent, centre - reach, 2 * reach))
    box = lines[0][:, None, :, None] & lines[1][:, None, None, :]
    own = images.float()
    kept = 1 - box.float().mean((1, 2, 3))
    return torch.where(box, own[partner], own), _weighed(labels, kept, partner)
