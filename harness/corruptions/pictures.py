"""Small pictures of what a corruption does, for the report."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

GREY = 128  # shows no difference
GAIN = 4.0


def pictures(
    images: torch.Tensor, triggered: torch.Tensor, gain: float = GAIN
) -> list[dict[str, str]]:
    """PNG files in base64 of each image: ``clean``, ``triggered`` and ``difference``.

    Args:
        images, triggered: uint8 [n, C, H, W] of 1 (shown in grey) or 3 channels; there are no
            pictures of others.
        gain: the difference shows ``128 + gain (triggered - clean)``, clipped to [0, 255].
    """
    if images.shape[1] not in (1, 3):
        return []
    change = GREY + gain * (triggered.float() - images.float())
    difference = change.round().clamp(0, 255).byte()
    return [
        {"clean": _png(clean), "triggered": _png(stamped), "difference": _png(moved)}
        for clean, stamped, moved in zip(images, triggered, difference, strict=True)
    ]


def _png(image: torch.Tensor) -> str:
    from PIL import Image

    pixels = image[0] if len(image) == 1 else image.permute(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(pixels.contiguous().numpy()).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")
