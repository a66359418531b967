"""UEraser's augmentation: fractal brightness and contrast, shuffled channels, one operation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from attrs import frozen

from harness.components import Facts, Misfit, component, setting
from harness.data.vision import load_torchvision
from harness.lazy import F, torch

Operation = Callable[["torch.Tensor"], "torch.Tensor"]
ROUGHNESS = (0.3, 0.7)
STRENGTH = (0.5, 1.0)


@frozen
class UEraser:
    """Settings of ``ueraser``."""

    plasma: float = setting(
        1.0,
        doc="probability of brightness, and of contrast, in an image; 0.5 in lafeat/ueraser",
        ge=0,
        le=1,
    )
    shuffle: float = setting(0.5, doc="probability of shuffled channels in an image", ge=0, le=1)
    operation: float = setting(
        0.5, doc="probability in an image of the operation that is drawn for the batch", ge=0, le=1
    )


def ueraser_misfits(settings: UEraser, facts: Facts) -> Iterator[Misfit]:
    """Images without colours (trait ``check``)."""
    if facts.encoding.shape[0] != 3:
        yield Misfit("", f"takes images of 3 channels; the data set has {facts.encoding.shape[0]}")


@component(
    "augmentations",
    "ueraser",
    settings=UEraser,
    source="Qin et al., Learning the Unlearnable, arXiv 2303.15127, section 3; lafeat/ueraser; the "
    "probability of plasma as in MLsecurityLab/HowFarAreFromTrueUnlearnability",
    check=ueraser_misfits,
)
def ueraser(images: torch.Tensor, settings: UEraser, generator: torch.Generator) -> torch.Tensor:
    """Change the images as UEraser-lite does; the adversary ``worst_draw`` takes the worst of some.

    uint8 or float32 [B, 3, H, W] in and out, whole intensities in [0, 255]. Intensities in [0, 1]
    get the map 2 p - 1 times a strength in [0.5, 1] added, are multiplied, less a half, by 4 p, and
    clipped, with ``plasma`` p of a roughness in [0.3, 0.7] for each channel; channels are shuffled.
    The last operation is one of TrivialAugment's with one strength, for the batch, as kornia
    draws it; its ranges are RandAugment's.
    """
    x, (count, channels, height, width) = images.float() / 255, images.shape

    def drawn(share: float) -> torch.Tensor:
        return (torch.rand(count, generator=generator) < share).to(x.device)

    def between(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    for brightness in (True, False):
        rough = between(*ROUGHNESS).repeat_interleave(channels)
        field = plasma(rough, max(height, width), generator)[:, :height, :width]
        field = field.reshape(x.shape).to(x.device)
        strength = between(*STRENGTH).view(-1, 1, 1, 1).to(x.device)
        added = x + (2 * field - 1) * strength
        changed = added if brightness else (x - 0.5) * 4 * field + 0.5
        x = torch.where(drawn(settings.plasma).view(-1, 1, 1, 1), changed.clamp(0, 1), x)
    order = torch.rand(count, channels, generator=generator).argsort(1).to(x.device)
    same = torch.arange(channels, device=x.device).expand_as(order)
    order = torch.where(drawn(settings.shuffle)[:, None], order, same)
    x = x[torch.arange(count, device=x.device)[:, None], order]
    whole = (x * 255).round().to(torch.uint8)
    every = operations(torch.rand((), generator=generator).item(), height, width)
    name = sorted(every)[int(torch.randint(len(every), (), generator=generator))]
    picked = drawn(settings.operation).view(-1, 1, 1, 1)
    return torch.where(picked, every[name](whole), whole).to(images.dtype)


def operations(strength: float, height: int, width: int) -> Mapping[str, Operation]:
    """What TrivialAugment chooses from as kornia lists it, at a ``strength`` in [0, 1], of uint8
    [B, C, H, W]. Where a change has two directions, 0.5 is none."""
    load_torchvision()
    from torchvision.transforms.v2 import functional as vision

    signed = 2 * strength - 1
    angle = math.degrees(math.atan(0.3 * signed))

    def moved(down: float = 0, across: float = 0, shear: tuple[float, float] = (0, 0)) -> Operation:
        by = [round(across * width), round(down * height)]
        return partial(vision.affine, angle=0, translate=by, scale=1, shear=list(shear))

    return {
        "auto_contrast": vision.autocontrast,
        "brightness": partial(vision.adjust_brightness, brightness_factor=1 + 0.9 * signed),
        "contrast": partial(vision.adjust_contrast, contrast_factor=1 + 0.9 * signed),
        "equalize": vision.equalize,
        "posterize": partial(vision.posterize, bits=8 - round(4 * strength)),
        "rotate": partial(vision.rotate, angle=30 * signed),
        "sharpness": partial(vision.adjust_sharpness, sharpness_factor=1 + 0.9 * signed),
        "shear_x": moved(shear=(angle, 0)),
        "shear_y": moved(shear=(0, angle)),
        "solarize": partial(vision.solarize, threshold=255 * strength),
        "translate_x": moved(across=0.5 * signed),
        "translate_y": moved(down=0.5 * signed),
    }


def plasma(roughness: torch.Tensor, size: int, generator: torch.Generator) -> torch.Tensor:
    """Fractals by the diamond-square algorithm, float32 [M, S, S] in [0, 1], with S >= ``size``.

    ``roughness`` [M] to the power of the level is the weight of a level's uniform draws against the
    means of neighbours. As in kornia, corners of the first level are thirds of draws, and the
    places between are sums of their three neighbours.
    """
    scale = torch.ones(len(roughness), 1, 1)
    corners = torch.rand(len(roughness), 2, 2, generator=generator) / 3
    middle = corners.mean((1, 2))
    grid = torch.zeros(len(roughness), 3, 3)
    grid[:, ::2, ::2], grid[:, 1, 1] = corners, middle
    grid[:, 1, ::2] = corners.sum(1) + middle[:, None]
    grid[:, ::2, 1] = corners.sum(2) + middle[:, None]
    while grid.shape[1] < size:
        scale = scale * roughness.view(-1, 1, 1)
        side = 2 * grid.shape[1] - 1
        draws = scale * torch.rand(len(grid), side, side, generator=generator)
        finer = torch.zeros(len(grid), side, side)
        finer[:, ::2, ::2] = grid
        four = (grid[:, 1:, 1:] + grid[:, 1:, :-1] + grid[:, :-1, 1:] + grid[:, :-1, :-1]) / 4
        finer[:, 1::2, 1::2] = (1 - scale) * four + draws[:, 1::2, 1::2]
        mean = _beside(finer) / _beside(torch.ones(1, side, side))
        place = torch.arange(side)
        odd = (place[:, None] + place) % 2 == 1
        grid = torch.where(odd, (1 - scale) * mean + draws, finer)
    return grid


def _beside(grid: torch.Tensor) -> torch.Tensor:
    """The sum of the neighbours above, below and beside each place of [M, S, S]."""
    wide = F.pad(grid, (1, 1, 1, 1))
    return wide[:, 2:, 1:-1] + wide[:, :-2, 1:-1] + wide[:, 1:-1, 2:] + wide[:, 1:-1, :-2]
