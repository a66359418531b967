"""Images from parquet files in the layout that the Hugging Face Hub uses."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

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
    files: Sequence[Path], label: str, mode: str, size: int | None, cache: Path | None
) -> Split:
    """Decode images and labels.

    Args:
        files: parquet files with a column ``img`` or ``image`` of {bytes, path}.
        label: the column of class numbers.
        mode: ``RGB`` or ``L``.
        size: side in pixels that images are resized to (shorter side, then centre crop), or None
            when all have one size already.
        cache: folder for decoded tensors.

    Raises:
        HarnessError: a column is missing, or images differ in size.
    """
    name = _cache_name(files, label, mode, size)
    cached = cache / f"{name}.safetensors" if cache is not None else None
    if cached is not None and (split := _from_cache(cached)) is not None:
        return split
    split = _decode(files, label, mode, size)
    if cached is not None:
        _to_cache(cached, split)
    return split


def _cache_name(files: Iterable[Path], *settings: Any) -> str:
    sha = hashlib.sha256(json.dumps([DECODER, *settings]).encode())
    for file in files:
        with file.open("rb") as stream:
            sha.update(hashlib.file_digest(stream, "sha256").digest())
    return sha.hexdigest()


def _from_cache(file: Path) -> Split | None:
    """The split kept in ``file``, mapped rather than read: a subset touches only its own pages."""
    from safetensors import SafetensorError, safe_open

    try:
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != file.with_suffix(".sha256").read_text():
            return None
        with safe_open(file, "pt") as tensors:
            return Split(tensors.get_tensor("inputs"), tensors.get_tensor("targets"))
    except (OSError, SafetensorError):
        return None


def _to_cache(file: Path, split: Split) -> None:
    """Keep ``split``; without room or permission there is just no cache."""
    from safetensors.torch import save

    content = save({"inputs": split.inputs, "targets": split.targets})
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        for path, part in (
            (file, content),
            (file.with_suffix(".sha256"), hashlib.sha256(content).hexdigest().encode()),
        ):
            with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as stream:
                stream.write(part)
            os.replace(stream.name, path)
    except OSError:
        return


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
