"""Pictures of triggers: a clean sample, the sample with the trigger, and their difference."""

from __future__ import annotations

import io
import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any

from harness.report.results import Results

KINDS = ("clean", "triggered", "difference")
SIDE = 96
GAP = 4
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
Images = Sequence[Mapping[str, str]]


def pictures(results: Results) -> list[tuple[str, Images]]:
    """The titles with their pictures as base64 PNG; what is no such picture is left out."""
    found = [
        (
            trigger.title,
            [
                {kind: image[kind] for kind in KINDS}
                for image in trigger.images
                if all(_opened(image.get(kind)) is not None for kind in KINDS)
            ],
        )
        for trigger in results.triggers
    ]
    return [(title, images) for title, images in found if images]


def strip(images: Sequence[Mapping[str, str]]) -> bytes:
    """One PNG with a row for each sample: clean, triggered, difference."""
    from PIL import Image

    step = SIDE + GAP
    whole = Image.new("RGB", (step * len(KINDS) - GAP, step * len(images) - GAP), "white")
    for i, image in enumerate(images):
        for j, kind in enumerate(KINDS):
            tile = _opened(image[kind]).resize((SIDE, SIDE), Image.Resampling.NEAREST)
            whole.paste(tile, (step * j, step * i))
    stream = io.BytesIO()
    whole.save(stream, "PNG")
    return stream.getvalue()


def _opened(text: Any) -> Any:
    """The picture in ``text``, or None when that is not a PNG in plain base64."""
    from PIL import Image

    if not isinstance(text, str) or not _BASE64.fullmatch(text):
        return None
    try:
        return Image.open(io.BytesIO(b64decode(text)), formats=["PNG"]).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
