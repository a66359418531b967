"""Images in one folder for each class, as torchvision's ImageFolder."""

from __future__ import annotations

from pathlib import Path

from harness.data import parquet
from harness.data.types import Split
from harness.errors import HarnessError, RemoteError
from harness.lazy import np, torch


def read_folders(
    folder: Path,
    parts: tuple[str, str],
    size: int,
    limits: tuple[int | None, int | None] = (None, None),
    classes: int | None = None,
) -> tuple[Split, Split, tuple[str, ...]]:
    """The splits of ``folder/PART/CLASS/*``, uint8 [N, 3, S, S], and the names of the classes.

    ``limits`` are the images of a class that are read, the first by name; ``classes`` the classes.

    Raises:
        RemoteError: a folder does not exist or is empty.
        HarnessError: the two parts have other classes, or a file is no image.
    """
    for part in parts:
        if not (folder / part).is_dir():
            raise RemoteError(f"no folder {part!r} in {folder}")
    names = [_class_names(folder / part)[:classes] for part in parts]
    if names[0] != names[1]:
        raise HarnessError(f"{folder}: the classes of {parts[0]} and {parts[1]} differ")
    train, test = (
        _read_classes(folder / part, names[0], size, limit)
        for part, limit in zip(parts, limits, strict=True)
    )
    return train, test, names[0]


def _class_names(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(p.name for p in folder.iterdir() if p.is_dir()))


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))


def _read_classes(folder: Path, names: tuple[str, ...], size: int, limit: int | None) -> Split:
    files = [(f, i) for i, n in enumerate(names) for f in _files(folder / n)[:limit]]
    if not files:
        raise RemoteError(f"no image in {folder}")
    images = np.stack([parquet.decode(file, "RGB", size) for file, _ in files])
    return Split(torch.from_numpy(images), torch.tensor([label for _, label in files]))
