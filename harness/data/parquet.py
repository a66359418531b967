"""Images from parquet files in the layout that the Hugging Face Hub uses."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.data import cache
from harness.data.types import Split
from harness.errors import HarnessError
from harness.lazy import np, torch

IMAGE_COLUMNS = ("img", "image")
DECODER = "1"  # part of the cache's name; raised when decoding changes


def find(folder: Path, split: str) -> list[Path]:
    """The parquet files of ``split`` in ``folder`` or its ``data`` folder, in order."""
    for place in (folder, folder / "data"):
        files = sorted(place.glob(f"{split}-*.parquet"))
        if files:
            return files
    return []


def is_jpeg(files: Sequence[Path]) -> bool:
    """Whether the first image of parquet ``files`` is stored as JPEG."""
    import pyarrow.parquet as parquet

    with parquet.ParquetFile(files[0]) as file:
        column = next(name for name in IMAGE_COLUMNS if name in file.schema_arrow.names)
        first = next(file.iter_batches(1, columns=[column]))[column][0].as_py()
    return bool(first["bytes"].startswith(b"\xff\xd8\xff"))


def read(
    files: Sequence[Path], label: str, mode: str, size: int | None, folder: Path | None
) -> Split:
    """Decode images and labels.

    Args:
        files: parquet files with a column ``img`` or ``image`` of {bytes, path}.
        label: the column of class numbers.
        mode: ``RGB`` or ``L``.
        size: side in pixels that images are resized to (shorter side, then centre crop), or None
            when all have one size already.
        folder: where decoded tensors are kept.

    Raises:
        HarnessError: a column is missing, or images differ in size.
    """
    if folder is None:
        return _decode(files, label, mode, size)
    kept = folder / f"{cache.name(files, DECODER, label, mode, size)}.safetensors"
    if (found := cache.read(kept)) is not None:
        return Split(found[0]["inputs"], found[0]["targets"])
    split = _decode(files, label, mode, size)
    cache.write(kept, {"inputs": split.inputs, "targets": split.targets})
    return split


def _decode(files: Sequence[Path], label: str, mode: str, size: int | None) -> Split:
    import pyarrow
    import pyarrow.parquet as parquet

    images, labels = [], []
    for file in files:
        try:
            names = parquet.read_schema(file).names
        except pyarrow.ArrowException as problem:
            raise HarnessError(f"{file}: not a parquet file: {problem}") from None
        column = next((name for name in IMAGE_COLUMNS if name in names), None)
        if column is None or label not in names:
            wanted = f"{' or '.join(IMAGE_COLUMNS)}, and {label}"
            raise HarnessError(f"{file}: the columns {wanted} are needed; found {names}")
        table = parquet.read_table(file, columns=[column, label])
        for row in table[column].to_pylist():
            if row is None or row["bytes"] is None:
                raise HarnessError(f"{file}: an image has no bytes; paths are not followed")
            images.append(decode(row["bytes"], mode, size))
        labels += table[label].to_pylist()
    if not images:
        raise HarnessError(f"{files[0].parent}: the parquet files hold no row")
    if len({image.shape for image in images}) > 1:
        raise HarnessError(f"{files[0].parent}: images differ in size; set 'size' in the spec")
    return Split(torch.from_numpy(np.stack(images)), torch.tensor(labels, dtype=torch.int64))


def decode(content: bytes | Path, mode: str, size: int | None) -> Any:
    """One image as uint8 [C, H, W]. Raises HarnessError when it is none."""
    from PIL import Image, ImageOps

    source = io.BytesIO(content) if isinstance(content, bytes) else content
    try:
        with Image.open(source) as image:
            shown = image.convert(mode)
    except OSError as problem:
        what = content if isinstance(content, Path) else "an image in a parquet file"
        raise HarnessError(f"{what} cannot be decoded: {problem}") from None
    if size is not None and shown.size != (size, size):
        shown = ImageOps.fit(shown, (size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(shown, dtype="uint8")
    return pixels[None] if mode == "L" else np.ascontiguousarray(pixels.transpose(2, 0, 1))
