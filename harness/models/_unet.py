"""A small U-Net. Imported inside the function that builds it."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class UNet(nn.Module):
    """float32 [B, C, H, W] to the same shape in [-1, 1], each image for itself.

    Two halvings and back, with skip connections; ``width`` channels at full size.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        w = width
        down = _unit(channels, w), _unit(w, 2 * w, stride=2), _unit(2 * w, 4 * w, stride=2)
        self.down = nn.ModuleList(down)
        self.up = nn.ModuleList([_unit(6 * w, 2 * w), _unit(3 * w, w)])
        self.last = nn.Conv2d(w, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = []
        for unit in self.down:
            x = unit(x)
            kept.append(x)
        kept.pop()
        for unit in self.up:
            skip = kept.pop()
            x = unit(torch.cat([F.interpolate(x, size=skip.shape[-2:]), skip], 1))
        return self.last(x).tanh()


def _unit(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1), nn.GroupNorm(1, outputs), nn.ReLU()
    )
