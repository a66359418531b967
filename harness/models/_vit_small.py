"""The modules of ``vit_small``. Imported inside the function that builds it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn


class ShiftedPatches(nn.Module):
    """Patches of an image and of its shifts by a pixel to the four sides, each as one token.

    float32 [B, C, H, W] to [B, (H / p) (W / p), size]. What a shift uncovers is 0.
    """

    def __init__(self, channels: int, patch: int, size: int) -> None:
        super().__init__()
        self.patch = patch
        given = 5 * channels * patch**2
        self.token = nn.Sequential(nn.LayerNorm(given), nn.Linear(given, size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[-2:]
        wide = F.pad(x, (1, 1, 1, 1))
        corners = ((1, 1), (1, 0), (1, 2), (0, 1), (2, 1))
        shifted = [wide[..., top : top + height, left : left + width] for top, left in corners]
        patches = F.pixel_unshuffle(torch.cat(shifted, 1), self.patch)
        return self.token(patches.flatten(2).transpose(1, 2))


class LocalAttention(nn.Module):
    """Self-attention in which no token sees itself, and the temperature is learned."""

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.tensor(-0.5 * math.log(size // heads)))
        self.project = nn.Linear(size, 3 * size, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Sequential(nn.Linear(size, size), nn.Dropout(dropout))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, size = x.shape
        parts = self.project(x).view(batch, tokens, 3, self.heads, size // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        scores = query @ key.transpose(-1, -2) * self.temperature.exp()
        itself = torch.eye(tokens, dtype=torch.bool, device=x.device)
        weights = self.dropout(scores.masked_fill(itself, float("-inf")).softmax(-1))
        return self.out((weights @ value).transpose(1, 2).reshape(batch, tokens, size))


class VisionTransformer(nn.Module):
    """Tokens with learned places, transformer blocks with the norms first, and a class token."""

    def __init__(
        self, patches: nn.Module, count: int, size: int, blocks: nn.Module, dropout: float,
        classes: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.patches, self.blocks = patches, blocks
        self.first = nn.Parameter(torch.randn(1, 1, size))
        self.places = nn.Parameter(torch.randn(1, count + 1, size))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(x)
        tokens = torch.cat([self.first.expand(len(tokens), -1, -1), tokens], 1) + self.places
        return self.head(self.blocks(self.dropout(tokens))[:, 0])
