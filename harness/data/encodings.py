"""Encodings: what one sample of a data set is, and how stored samples reach a model.

A data set owns one encoding and declares it before any data are read. Splits hold stored samples
[N, *shape]; ``batch`` turns some of them into what a model's forward takes, on their own device.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from attrs import frozen

from harness.lazy import torch


@frozen
class Images:
    """Stored uint8 [C, H, W]; models take float32 [B, C, H, W], normalised.

    ``mean`` and ``std`` are per channel, of intensities in [0, 1]. Stored samples may also be
    float32 intensities in [0, 255], where a corruption's change is no whole number.
    """

    shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    name = "images"

    def batch(self, stored: torch.Tensor) -> torch.Tensor:
        """(x / 255 - mean) / std, as x * scale - shift; gradients pass."""
        scale, shift = _scale_and_shift(self.mean, self.std, stored.device)
        return stored.to(torch.float32, copy=True).mul_(scale).sub_(shift)

    def intensities(self, x: torch.Tensor) -> torch.Tensor:
        """What ``batch`` made ``x`` of, float32 in [0, 255]."""
        scale, shift = _scale_and_shift(self.mean, self.std, x.device)
        return (x + shift) / scale

    def stored(self, count: int) -> torch.Tensor:
        """Zeros as they are stored."""
        return torch.zeros(count, *self.shape, dtype=torch.uint8)

    def example(self, count: int = 1) -> torch.Tensor:
        """Zeros of the shape that models take."""
        return torch.zeros(count, *self.shape)


@lru_cache(maxsize=64)
def _scale_and_shift(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Kept on the device: a copy for each batch would wait for it."""
    with torch.inference_mode(False), torch.device("cpu"):
        deviation = torch.tensor(std, dtype=torch.float32)
        scale = 1 / (255 * deviation)
        shift = torch.tensor(mean, dtype=torch.float32) / deviation
        return scale.view(1, -1, 1, 1).to(device), shift.view(1, -1, 1, 1).to(device)


def photographs(size: int) -> Images:
    """Square colour images with ImageNet's channel statistics."""
    return Images((3, size, size), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


class TokenBatch(NamedTuple):
    """``ids`` int64 [B, L], and ``mask`` bool [B, L], which is False at padding.

    ``shift`` float32 [B, L, d] is added to the vectors of the tokens, of a model whose vectors have
    d numbers, before anything else; None is zeros.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    shift: torch.Tensor | None = None


@frozen
class Tokens:
    """Stored int32 [length] with -1 at padding; models take a ``TokenBatch``.

    ``vocabulary`` is the number of different ids.
    """

    length: int
    vocabulary: int
    name = "tokens"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one stored sample."""
        return (self.length,)

    def batch(self, stored: torch.Tensor) -> TokenBatch:
        """Ids with 0 at padding, and the mask."""
        return TokenBatch(stored.clamp(min=0).to(torch.int64), stored >= 0)

    def stored(self, count: int) -> torch.Tensor:
        """Zeros as they are stored."""
        return torch.zeros(count, self.length, dtype=torch.int32)

    def example(self, count: int = 1) -> TokenBatch:
        """A batch of full length."""
        return self.batch(self.stored(count))


@frozen
class Features:
    """Stored float32 [size], as models take them."""

    size: int
    name = "features"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one stored sample."""
        return (self.size,)

    def batch(self, stored: torch.Tensor) -> torch.Tensor:
        """The vectors themselves."""
        return stored.to(torch.float32)

    def stored(self, count: int) -> torch.Tensor:
        """Zeros as they are stored."""
        return torch.zeros(count, self.size)

    def example(self, count: int = 1) -> torch.Tensor:
        """Zeros of the shape that models take."""
        return self.stored(count)
