"""A vision transformer for small images and little data."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from harness.components import Facts, Misfit, component, setting
from harness.data.encodings import Images
from harness.lazy import nn


@frozen
class ViTSmall:
    """Settings of ``vit_small``; defaults are those of the official code."""

    patch: int = setting(4, doc="side of a patch", unit="pixels", gt=0)
    width: int = setting(512, doc="size of a token", gt=0)
    depth: int = setting(6, doc="blocks", unit="layers", gt=0)
    heads: int = setting(8, doc="attention heads", gt=0)
    hidden: int = setting(512, doc="units of a block's hidden layer", unit="units", gt=0)
    dropout: float = setting(0.1, doc="dropout of tokens, attention and layers", ge=0, lt=1)


def misfits(settings: ViTSmall, facts: Facts) -> Iterator[Misfit]:
    """Images that are no whole number of patches, tokens that heads do not share evenly."""
    _, height, width = facts.encoding.shape
    if height % settings.patch or width % settings.patch:
        what = f"{height}x{width} pixels are no whole number of patches of {settings.patch}"
        yield Misfit("patch", what)
    if settings.width % settings.heads:
        yield Misfit("heads", f"{settings.heads} heads do not divide a token of {settings.width}")


@component(
    "models",
    "vit_small",
    settings=ViTSmall,
    source="Lee et al. 2021 (arXiv 2112.13492): shifted patches and locality self-attention, as "
    "nets/ in MLsecurityLab/HowFarAreFromTrueUnlearnability at ea9a4a6 (protocol section 3)",
    check=misfits,
)
def vit_small(settings: ViTSmall, encoding: Images, classes: int) -> nn.Module:
    """Each block is x + attention(norm(x)), then x + layers(norm(x)) with GELU between two layers.

    float32 [B, C, H, W], H and W whole numbers of patches, to logits [B, classes].
    """
    from harness.models._layers import Residual
    from harness.models._vit_small import LocalAttention, ShiftedPatches, VisionTransformer

    channels, height, width = encoding.shape
    size, dropout = settings.width, settings.dropout

    def block() -> nn.Module:
        attention = LocalAttention(size, settings.heads, dropout)
        layers = (
            nn.Linear(size, settings.hidden), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(settings.hidden, size), nn.Dropout(dropout),
        )  # fmt: skip
        return nn.Sequential(
            Residual(nn.Sequential(nn.LayerNorm(size), attention)),
            Residual(nn.Sequential(nn.LayerNorm(size), *layers)),
        )

    return VisionTransformer(
        ShiftedPatches(channels, settings.patch, size),
        (height // settings.patch) * (width // settings.patch),
        size,
        nn.Sequential(*(block() for _ in range(settings.depth))),
        dropout,
        classes,
    )
