"""Pictures of corruptions: a clean sample, the corrupted one, and their difference."""

from __future__ import annotations

import io
import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any

from harness.corruptions.pictures import GAIN, GREY
from harness.report.results import Results

KINDS = ("clean", "triggered", "difference")
SIDE = 96  # of a tile without its outline, at most
GAP = 6
OUTLINE, FRAME = "#777777", "#D55E00"
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
    """One PNG with a row for each sample: clean, triggered, difference. Each tile is outlined, and
    on the triggered one what is changed is framed."""
    from PIL import Image, ImageDraw

    rows = [[_opened(image[kind]) for kind in KINDS] for image in images]
    size, zoom = rows[0][0].size, _zoom(rows[0][0])
    wide, high = (max(1, round(side * zoom)) + 2 for side in size)
    across, down = len(KINDS) * (wide + GAP) - GAP, len(rows) * (high + GAP) - GAP
    whole = Image.new("RGB", (across, down), "white")
    pen, boxes = ImageDraw.Draw(whole), _changed(images)
    for i, tiles in enumerate(rows):
        for j, tile in enumerate(tiles):
            x, y = j * (wide + GAP), i * (high + GAP)
            whole.paste(tile.resize((wide - 2, high - 2), Image.Resampling.NEAREST), (x + 1, y + 1))
            pen.rectangle((x, y, x + wide - 1, y + high - 1), outline=OUTLINE)
            if boxes and KINDS[j] == "triggered":
                left, top, right, bottom = (round(edge * zoom) for edge in boxes[i])
                pen.rectangle((x + left, y + top, x + right + 1, y + bottom + 1), outline=FRAME)
    stream = io.BytesIO()
    whole.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def scale(images: Sequence[Mapping[str, str]]) -> str:
    """What a reader must know to read the strip."""
    tile, boxes = _opened(images[0]["clean"]), set(_changed(images))
    wide, high = tile.size
    where = "it changes pixels all over the picture"
    if boxes:
        where = "what it changes is framed"
    if len(boxes) == 1:
        [(left, top, right, bottom)] = boxes
        where += f": columns {left} to {right - 1}, rows {top} to {bottom - 1}"
    return (
        "From left to right: the clean sample, the corrupted one, the difference "
        f"({GREY} + {GAIN:g} × change, so grey is no change). "
        f"{wide} × {high} pixels, shown {_zoom(tile):.3g} times as large; {where}."
    )


def _zoom(tile: Any) -> float:
    """A whole number, so that pixels stay square, unless the picture is larger than a tile."""
    largest = max(tile.size)
    return SIDE // largest if largest <= SIDE else SIDE / largest


def _changed(images: Sequence[Mapping[str, str]]) -> list[tuple[int, int, int, int]]:
    """For each image the smallest box around what changes in all of them, or in itself where that
    is everywhere; none where that is everywhere too."""
    from PIL import Image, ImageChops

    boxes = []
    for image in images:
        clean, triggered = _opened(image["clean"]), _opened(image["triggered"])
        apart = ImageChops.difference(clean, triggered.resize(clean.size, Image.Resampling.NEAREST))
        boxes.append((apart.getbbox(), clean.size))
    if len({size for _, size in boxes}) > 1 or not (found := [box for box, _ in boxes if box]):
        return []
    left, top = (min(box[i] for box in found) for i in (0, 1))
    right, bottom = (max(box[i] for box in found) for i in (2, 3))
    wide, high = boxes[0][1]
    for choice in ([(left, top, right, bottom)] * len(boxes), found):
        areas = [(right - left) * (bottom - top) for left, top, right, bottom in choice]
        if len(choice) == len(boxes) and 2 * max(areas) < wide * high:
            return choice
    return []


def _opened(text: Any) -> Any:
    """The picture in ``text``, or None when that is not a PNG in plain base64."""
    from PIL import Image

    if not isinstance(text, str) or not _BASE64.fullmatch(text):
        return None
    try:
        return Image.open(io.BytesIO(b64decode(text)), formats=["PNG"]).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
