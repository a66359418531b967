"""What corruptions share that make training images useless to learn from: rows, storage, norms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from attrs import frozen

from harness.components import setting
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption, draw
from harness.data.types import Split
from harness.lazy import torch

Rounding = Literal["round", "truncate", "none"]
VALUES = 2**23  # that are float32 at a time

# float32 images [b, C, H, W] in intensities of 255, and their places among all: what they become
Change = Callable[["torch.Tensor", slice], "torch.Tensor"]


@frozen
class Unlearnable:
    """Settings of every such corruption; labels stay right."""

    share: float = setting(1.0, doc="share of the training data to change", gt=0, le=1)


def how_stored(default: Rounding = "round") -> Any:
    """The setting that says how changed images are stored."""
    return setting(
        default,
        doc="how images are stored: in 8 bits, at the nearest or at the next lower intensity, "
        "as in published pictures, or as float32 (none)",
    )


def expected(settings: Unlearnable, total: int) -> int:
    """The corrupted samples of ``total`` (trait ``amount``)."""
    return max(1, round(total * settings.share))


def chosen(settings: Unlearnable, task: CorruptionTask) -> torch.Tensor:
    """The training rows to change, in order; those of a smaller share are part of a larger's."""
    number = expected(settings, len(task.rows))
    return draw(task.rows, number, task.generator()).sort().values


def unlearnable(
    train: Split, rows: torch.Tensor, change: Change, rounding: Rounding, **left: torch.Tensor
) -> Corruption:
    """The corruption that stores the images of ``rows`` after ``change``; it leaves their norms
    and ``left``."""
    clean, done, stored = train.inputs[rows], 0, []
    for x in parts(clean):
        stored.append(rounded(change(x.float(), slice(done, done + len(x))), rounding))
        done += len(x)
    inputs = torch.cat(stored)
    return Corruption(rows, inputs=inputs, tensors={**norms(clean, inputs), **left})


def finish(clean: torch.Tensor, delta: torch.Tensor, rounding: Rounding = "round") -> torch.Tensor:
    """The images that are trained on: ``clean`` uint8 [m, C, H, W] + ``delta``, float32 in
    intensities of 255, as ``rounded`` stores them."""
    pairs = zip(parts(clean), parts(delta), strict=True)
    return torch.cat([rounded(x.float() + d, rounding) for x, d in pairs])


def rounded(values: torch.Tensor, rounding: Rounding) -> torch.Tensor:
    """``values`` clipped to [0, 255]: uint8, rounded (halves to even) or truncated, or float32."""
    values = values.clamp(0, 255)
    if rounding == "none":
        return values
    return (values.round() if rounding == "round" else values).to(torch.uint8)


def norms(
    clean: torch.Tensor, stored: torch.Tensor, full: float = 255.0
) -> dict[str, torch.Tensor]:
    """``linf`` and ``l2``, float32 [m]: how far ``stored`` lies from ``clean``, both [m, ...], in
    the unit of which they count ``full``: images of intensities of 255 in those of [0, 1]."""
    pairs = zip(parts(clean), parts(stored), strict=True)
    apart = [((s.float() - x.float()) / full).flatten(1) for x, s in pairs]
    return {
        "linf": torch.cat([part.abs().amax(1) for part in apart]),
        "l2": torch.cat([part.norm(dim=1) for part in apart]),
    }


def parts(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """``images`` [m, ...] in views of so many as fit in memory as float32."""
    return images.split(max(1, VALUES // images[0].numel()))
