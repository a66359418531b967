"""Modules that torch does not ship. Imported inside the functions that build models."""

from __future__ import annotations

import torch
from torch import nn


class Residual(nn.Module):
    """x + body(x), or shortcut(x) + body(x)."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut if shortcut is not None else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.shortcut(x) + self.body(x)


def zero_biases(model: nn.Module) -> nn.Module:
    """Set the biases of convolutions and linear layers to zero, as the Potion code does."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    return model
