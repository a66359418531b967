"""Where published image data sets are found: parquet files, torchvision's layout, or the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import frozen

from harness.data import parquet
from harness.data.types import DataRoot, Split
from harness.data.vision import load_torchvision
from harness.errors import RemoteError
from harness.lazy import np, torch


@frozen
class Source:
    """Where one data set can be found.

    ``splits`` are the parquet names of train and test; ``hub`` is the Hub's repository;
    ``torchvision`` the class that reads the original files; ``config`` the Hub's configuration.
    """

    name: str
    hub: str
    torchvision: str
    label: str = "label"
    mode: str = "RGB"
    splits: tuple[str, str] = ("train", "test")
    config: str | None = None


Found = tuple[Split, Split, str, bool]


def find(source: Source, root: DataRoot, size: int | None = None) -> Found:
    """Train and test split, where they were found, and whether their images are JPEG.

    Raises:
        RemoteError: nothing is there and nothing may, or could, be downloaded.
    """
    tried = []
    if root.folder is not None:
        folder = root.folder / source.name
        files = [parquet.find(folder, split) for split in source.splits]
        if all(files):
            train, test = (
                parquet.read(f, source.label, source.mode, size, root.cache) for f in files
            )
            return train, test, str(folder), parquet.is_jpeg(files[0])
        tried.append(f"{folder}/{source.splits[0]}-*.parquet")
        for place in (root.folder, folder):
            found = _from_torchvision(source, place, download=False)
            if found:
                return *found, str(place), False
            tried.append(f"torchvision's {source.torchvision} files in {place}")
    else:
        tried.append("no --data-root is named")
    if root.offline:
        tried.append("no download was tried (--offline)")
    else:
        try:
            hub = f"https://huggingface.co/datasets/{source.hub}"
            return *_download(source, size), hub, False
        except Exception as problem:
            tried.append(f"download of {source.hub}: {type(problem).__name__}: {problem}")
    looked = "\n".join(f"  - {place}" for place in tried)
    raise RemoteError(
        f"the data set {source.name!r} was not found. Looked for:\n{looked}\n"
        f"Put its files below --data-root, or run once online with 'pip install datasets'"
    )


def _from_torchvision(source: Source, root: Path, *, download: bool) -> tuple[Split, Split] | None:
    """The original files, whose checksums torchvision compares before it reads them."""
    if not root.is_dir():
        return None
    load_torchvision()
    import torchvision.datasets

    kind = getattr(torchvision.datasets, source.torchvision)
    if source.torchvision == "Imagenette":
        return None
    try:
        parts = [kind(str(root), train=train, download=download) for train in (True, False)]
    except RuntimeError:
        return None
    return _as_split(parts[0]), _as_split(parts[1])


def _as_split(part: Any) -> Split:
    images = np.asarray(part.data)
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    targets = torch.as_tensor(part.targets, dtype=torch.int64)
    return Split(torch.from_numpy(np.ascontiguousarray(images)), targets)


def _download(source: Source, size: int | None) -> tuple[Split, Split]:
    """Both splits through the ``datasets`` library, which keeps its own cache."""
    import datasets

    loaded = datasets.load_dataset(source.hub, source.config)
    splits = []
    for name in source.splits:
        part = loaded[name]
        column = next(c for c in parquet.IMAGE_COLUMNS if c in part.column_names)
        part = part.cast_column(column, datasets.Image(decode=False))
        found = [row["bytes"] or Path(row["path"]) for row in part[column]]
        images = [parquet.decode(image, source.mode, size) for image in found]
        labels = torch.tensor(list(part[source.label]), dtype=torch.int64)
        splits.append(Split(torch.from_numpy(np.stack(images)), labels))
    return splits[0], splits[1]
