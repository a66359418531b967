"""OPS: one pixel of all images of a class gets the same colour."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod
from typing import Literal

from attrs import frozen

from harness.components import Facts, Misfit, component, setting
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption
from harness.corruptions.unlearnable import Unlearnable, chosen, expected, norms, parts, unlearnable
from harness.data.types import Split
from harness.lazy import torch


@frozen
class OnePixel(Unlearnable):
    """Settings of ``one_pixel``."""

    score: Literal["automatic", "published", "repaired"] = setting(
        "automatic",
        doc="published: mean / std; repaired: mean / (std + 0.01), and every class its own pixel; "
        "automatic: repaired where the published one is 0 / 0, as at MNIST's black edges, "
        "and would choose a pixel that changes nothing",
    )


def misfits(settings: OnePixel, facts: Facts) -> Iterator[Misfit]:
    """More classes than pixels (trait ``check``)."""
    pixels = prod(facts.encoding.shape[-2:])
    if pixels < facts.classes:
        yield Misfit("", f"{facts.classes} classes need as many pixels or features; {pixels} found")


@component(
    "corruptions",
    "one_pixel",
    settings=OnePixel,
    acts_on=frozenset({"images", "features"}),
    amount=expected,
    check=misfits,
    leaves=frozenset({"linf", "l2", "places"}),
    source="Wu et al., arXiv 2205.12141 (ICLR 2023), section 3.2; repository cychomatica/"
    "One-Pixel-Shotcut (protocol unlearnability, section 4 and trap 14)",
)
def one_pixel(train: Split, settings: OnePixel, task: CorruptionTask) -> Corruption:
    """Set one pixel of each class's images to a colour of full or no intensity in each channel.

    It is the pixel and colour with the highest mean / std of |colour - pixel| over the class's
    images and channels: a change that is large in all of them. Classes choose in their order. One
    pixel of C values changes (an L0 norm), by up to 255. Of vectors it is one feature, which is
    set to the least or the largest value that it has in the training data.

    Left are ``places``, int64 [classes], counted along the rows of an image, and ``linf`` and
    ``l2``, float32 [m], of images in intensities of [0, 1], of vectors in their own units.
    """
    rows = chosen(settings, task)
    labels, classes = train.targets[rows], len(task.dataset.classes)
    clean = train.inputs[rows]
    if task.dataset.encoding.name == "images":
        places, colours = shortcuts(clean.flatten(2), labels, classes, settings.score)

        def change(x: torch.Tensor, at: slice) -> torch.Tensor:
            own, samples = labels[at], torch.arange(len(x))
            x.flatten(2)[samples, :, places[own]] = 255 * colours[own]
            return x

        return unlearnable(train, rows, change, "round", places=places)
    low, high = clean.amin(0), clean.amax(0)
    varied = (high > low).nonzero().squeeze(1)
    scaled = 255 * ((clean - low) / (high - low))[:, None, varied]
    places, colours = shortcuts(scaled, labels, classes, settings.score)
    places = varied[places]
    values = torch.where(colours[:, 0] > 0, high[places], low[places])
    inputs = clean.clone()
    inputs[torch.arange(len(rows)), places[labels]] = values[labels]
    tensors = {**norms(clean, inputs, 1.0), "places": places}
    return Corruption(rows, inputs=inputs, tensors=tensors)


def shortcuts(
    pixels: torch.Tensor, labels: torch.Tensor, classes: int, score: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """The pixel, int64 [classes], and its colour, float32 [classes, C] of 0 and 1, of each class.

    Args:
        pixels: [n, C, P] in [0, 255]; labels: int64 [n].
    """
    moments = [_moments(pixels[labels == label]) for label in range(classes)]
    # A pixel of a class is 0 / 0 for one colour where every channel is always 0 or always full.
    undefined = any(((first == 0) | (first == 1)).all(0).any() for first, _ in moments)
    repaired = score == "repaired" or (score == "automatic" and undefined)
    corners = torch.tensor(list(product((0.0, 1.0), repeat=pixels.shape[1])))
    taken = torch.zeros(pixels.shape[2], len(corners), dtype=torch.bool)
    chosen = []
    for first, second in moments:
        ones = corners.bool()[:, :, None]
        mean = torch.where(ones, 1 - first, first).mean(1).T
        square = torch.where(ones, 1 - 2 * first + second, second).mean(1).T
        deviation = (square - mean.square()).clamp(min=0).sqrt()
        found = mean / (deviation + 0.01 if repaired else deviation)
        best = int(found.masked_fill(taken, -1).argmax())  # what is not a number counts as largest
        chosen.append(divmod(best, len(corners)))
        place, corner = chosen[-1]
        taken[place, slice(None) if repaired else corner] = True
    places, colours = (torch.tensor(part) for part in zip(*chosen, strict=True))
    return places, corners[colours]


def _moments(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and mean square over ``pixels`` [n, C, P] in [0, 1], float64 [C, P]; of none, 1/2."""
    if not len(pixels):
        half = torch.full(pixels.shape[1:], 0.5, dtype=torch.float64)
        return half, half
    doubles = [part.double() / 255 for part in parts(pixels)]
    first = torch.stack([part.sum(0) for part in doubles]).sum(0)
    second = torch.stack([part.square().sum(0) for part in doubles]).sum(0)
    return first / len(pixels), second / len(pixels)
