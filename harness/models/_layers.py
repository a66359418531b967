"""Modules that torch does not ship. Imported inside the functions that build models."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

Statistics = tuple[tuple[float, ...], tuple[float, ...]]


class Residual(nn.Module):
    """x + body(x), or shortcut(x) + body(x)."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut if shortcut is not None else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.shortcut(x) + self.body(x)


class Gated(nn.Module):
    """x * gate(x)."""

    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gate(x)


class Seen(nn.Module):
    """A network behind what turns the images of a data set into those that it was made for.

    ``given`` and ``wanted`` are means and deviations of intensities in [0, 1]. Images are resized
    to ``size``, with a filter where they become smaller, and the ``crop`` in the middle is seen.
    """

    given_mean: torch.Tensor
    given_std: torch.Tensor
    wanted_mean: torch.Tensor
    wanted_std: torch.Tensor

    def __init__(
        self, network: nn.Module, given: Statistics, wanted: Statistics, size: int, crop: int,
        mode: str,
    ) -> None:  # fmt: skip
        super().__init__()
        self.network, self.size, self.crop, self.mode = network, size, crop, mode
        for name, values in zip(("mean", "std"), given, strict=True):
            self.register_buffer(f"given_{name}", _channels(values), persistent=False)
        for name, values in zip(("mean", "std"), wanted, strict=True):
            self.register_buffer(f"wanted_{name}", _channels(values), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = (x * self.given_std + self.given_mean).expand(-1, 3, -1, -1)
        if x.shape[-2:] != (self.size, self.size):
            sides = (self.size, self.size)
            x = F.interpolate(x, sides, mode=self.mode, antialias=True).clamp(0, 1)
        edge = (self.size - self.crop) // 2
        x = x[..., edge : edge + self.crop, edge : edge + self.crop]
        found = self.network((x - self.wanted_mean) / self.wanted_std)
        return found if isinstance(found, torch.Tensor) else found.image_embeds


def _channels(values: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(values).view(1, -1, 1, 1)


def zero_biases(model: nn.Module) -> nn.Module:
    """Set the biases of convolutions and linear layers to zero, as the Potion code does."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    return model
