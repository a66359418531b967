"""A frozen random projection, and a trainable head on the vectors that it gives."""

from __future__ import annotations

from attrs import frozen

from harness.components import NoSettings, component, setting
from harness.components.contracts import Encoding
from harness.data.encodings import Features
from harness.lazy import nn


@frozen
class Projection:
    """Settings of ``throwaway_projection``."""

    size: int = setting(24, doc="entries of a vector", ge=1)


@component(
    "models",
    "throwaway_projection",
    settings=Projection,
    source="Johnson and Lindenstrauss 1984",
    gives=lambda settings, encoding: Features(settings.size),
)
def projection(settings: Projection, encoding: Encoding, classes: int) -> nn.Module:
    """A linear map with random weights and a ReLU: float32 [B, C, H, W] to [B, size]."""
    width = 1
    for extent in encoding.shape:
        width *= extent
    return nn.Sequential(nn.Flatten(), nn.Linear(width, settings.size), nn.ReLU())


@component(
    "models",
    "throwaway_head",
    source="a linear layer",
    takes=frozenset({"features"}),
)
def head(settings: NoSettings, encoding: Features, classes: int) -> nn.Module:
    """A linear head: float32 [B, size] to logits [B, classes]."""
    return nn.Linear(encoding.size, classes)
