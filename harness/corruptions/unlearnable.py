"""What corruptions share that make training images useless to learn from: rows, storage, norms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from attrs import frozen

from harness.components import setting
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption, draw
from harness.lazy import torch

Rounding = Literal["round", "truncate", "none"]
AT_ONCE = 2048  # images that are float32 at a time


@frozen
class Unlearnable:
    """Settings of every such corruption; labels stay right."""

    share: float = setting(1.0, doc="share of the training data to change", gt=0, le=1)
    rounding: Rounding = setting(
        "round",
        doc="how changed images are stored: in 8 bits, the nearest or the next lower intensity, "
        "as pictures are published; or as float32 (none)",
    )


def expected(settings: Unlearnable, total: int) -> int:
    """The corrupted samples of ``total`` (trait ``amount``)."""
    return max(1, round(total * settings.share))


def chosen(settings: Unlearnable, task: CorruptionTask) -> torch.Tensor:
    """The training rows to change, in order; those of a smaller share are part of a larger's."""
    number = expected(settings, len(task.rows))
    return draw(task.rows, number, task.generator()).sort().values


def finish(clean: torch.Tensor, delta: torch.Tensor, rounding: Rounding = "round") -> torch.Tensor:
    """The images that are trained on: ``clean`` + ``delta``, clipped to [0, 255].

    Args:
        clean: uint8 [m, C, H, W]. delta: in intensities of 255, broadcast to it.
        rounding: gives uint8, rounded (halves to even) or truncated, or float32 with ``none``.
    """
    return torch.cat([_stored(x.float() + d, rounding) for x, d in _parts(clean, delta)])


def norms(clean: torch.Tensor, stored: torch.Tensor) -> dict[str, torch.Tensor]:
    """``linf`` and ``l2``, float32 [m]: how far ``stored`` lies from ``clean``, both [m, C, H, W]
    in intensities of 255; the norms are in intensities of [0, 1]."""
    apart = [((s.float() - x.float()) / 255).flatten(1) for x, s in _parts(clean, stored)]
    return {
        "linf": torch.cat([part.abs().amax(1) for part in apart]),
        "l2": torch.cat([part.norm(dim=1) for part in apart]),
    }


def unlearnable(rows: torch.Tensor, clean: torch.Tensor, stored: torch.Tensor) -> Corruption:
    """The corruption that puts ``stored`` in the place of ``rows``, which are ``clean``."""
    return Corruption(rows, inputs=stored, tensors=norms(clean, stored))


def _stored(values: torch.Tensor, rounding: Rounding) -> torch.Tensor:
    values = values.clamp(0, 255)
    if rounding == "none":
        return values
    return (values.round() if rounding == "round" else values).to(torch.uint8)


def _parts(clean: torch.Tensor, other: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    return zip(clean.split(AT_ONCE), other.expand(clean.shape).split(AT_ONCE), strict=True)
