"""Image data sets: from parquet files, from torchvision's layout, or from the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import frozen

from harness.components import Facts, NoSettings, component, setting
from harness.data import parquet
from harness.data.encodings import Images
from harness.data.types import DataRoot, Dataset, Split, dataset
from harness.data.vision import load_torchvision
from harness.errors import HarnessError, RemoteError
from harness.lazy import np, torch

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
CIFAR_STATISTICS = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
MNIST_STATISTICS = ((0.1307,), (0.3081,))
IMAGENET_STATISTICS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
IMAGENETTE_CLASSES = (
    "tench", "English springer", "cassette player", "chain saw", "church",
    "French horn", "garbage truck", "gas pump", "golf ball", "parachute",
)  # fmt: skip


@frozen
class _Source:
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


def _find(source: _Source, root: DataRoot, size: int | None = None) -> Found:
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
            origin = f"https://huggingface.co/datasets/{source.hub}"
            return *_download(source, size), origin, False
        except Exception as problem:
            tried.append(f"download of {source.hub}: {type(problem).__name__}: {problem}")
    looked = "\n".join(f"  - {place}" for place in tried)
    raise RemoteError(
        f"the data set {source.name!r} was not found. Looked for:\n{looked}\n"
        f"Put its files below --data-root, or run once online with 'pip install datasets'"
    )


def _from_torchvision(source: _Source, root: Path, *, download: bool) -> tuple[Split, Split] | None:
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


def _download(source: _Source, size: int | None) -> tuple[Split, Split]:
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


def _images(size: int, statistics: Statistics = IMAGENET_STATISTICS, channels: int = 3) -> Images:
    return Images((channels, size, size), *statistics)


@component(
    "datasets",
    "cifar10",
    source="Krizhevsky 2009; channel statistics as in the Potion code (protocol section 1)",
    facts=lambda s: Facts(_images(32, CIFAR_STATISTICS), 10, train=50_000, test=10_000),
)
def cifar10(settings: NoSettings, root: DataRoot) -> Dataset:
    """CIFAR-10: 50,000 + 10,000 colour images, uint8 [N, 3, 32, 32], 10 classes."""
    train, test, origin, lossy = _find(_Source("cifar10", "uoft-cs/cifar10", "CIFAR10"), root)
    return dataset("cifar10", train, test, CIFAR10_CLASSES, CIFAR_STATISTICS, origin, lossy=lossy)


@component(
    "datasets",
    "cifar100",
    source="Krizhevsky 2009; CIFAR-10's channel statistics, as the Potion code uses them",
    facts=lambda s: Facts(_images(32, CIFAR_STATISTICS), 100, train=50_000, test=10_000),
)
def cifar100(settings: NoSettings, root: DataRoot) -> Dataset:
    """CIFAR-100 with its fine labels: uint8 [N, 3, 32, 32], 100 classes, named by number."""
    source = _Source("cifar100", "uoft-cs/cifar100", "CIFAR100", label="fine_label")
    train, test, origin, lossy = _find(source, root)
    names = tuple(map(str, range(100)))
    return dataset("cifar100", train, test, names, CIFAR_STATISTICS, origin, lossy=lossy)


@component(
    "datasets",
    "mnist",
    source="LeCun et al. 1998; mean 0.1307 and std 0.3081 of all training pixels",
    facts=lambda s: Facts(_images(28, MNIST_STATISTICS, 1), 10, train=60_000, test=10_000),
)
def mnist(settings: NoSettings, root: DataRoot) -> Dataset:
    """MNIST: 60,000 + 10,000 grey images, uint8 [N, 1, 28, 28], 10 classes."""
    source = _Source("mnist", "ylecun/mnist", "MNIST", mode="L")
    train, test, origin, lossy = _find(source, root)
    return dataset("mnist", train, test, tuple("0123456789"), MNIST_STATISTICS, origin, lossy=lossy)


@frozen
class Sized:
    """Settings of a data set whose images differ in size."""

    size: int = setting(
        128,
        doc="side that the shorter side is resized to before a centre crop",
        unit="pixels",
        ge=8,
    )


@component(
    "datasets",
    "imagenette",
    settings=Sized,
    source="fast.ai Imagenette v2, 320 px; ImageNet channel statistics",
    facts=lambda s: Facts(_images(s.size), 10, train=9_469, test=3_925),
)
def imagenette(settings: Sized, root: DataRoot) -> Dataset:
    """Imagenette: 9,469 + 3,925 colour photographs of 10 ImageNet classes, resized to a square.

    Found as parquet, as class folders ``imagenette/train`` and ``imagenette/val``, or on the Hub.
    """
    if root.folder is not None and (root.folder / "imagenette" / "train").is_dir():
        train, test, _ = _read_folders(root.folder / "imagenette", ("train", "val"), settings.size)
        origin = str(root.folder / "imagenette")
    else:
        source = _Source(
            "imagenette",
            "frgfm/imagenette",
            "Imagenette",
            splits=("train", "validation"),
            config="320px",
        )
        train, test, origin, _ = _find(source, root, settings.size)
    return dataset("imagenette", train, test, IMAGENETTE_CLASSES, IMAGENET_STATISTICS, origin)


@frozen
class Folder:
    """Settings of ``image_folder``."""

    folder: str = setting(doc="folder below the data root, with train/CLASS/ and test/CLASS/")
    size: int = setting(32, doc="side that images are resized to", unit="pixels", ge=4)
    classes: int = setting(10, doc="number of classes, for estimates", ge=2)


@component(
    "datasets",
    "image_folder",
    settings=Folder,
    source="one folder for each class, as torchvision's ImageFolder; ImageNet channel statistics",
    facts=lambda s: Facts(_images(s.size), s.classes, train=None, test=None),
)
def image_folder(settings: Folder, root: DataRoot) -> Dataset:
    """Any images in ``FOLDER/train/CLASS/*`` and ``FOLDER/test/CLASS/*``: uint8 [N, 3, S, S].

    Raises:
        HarnessError: the folder leaves the data root, or the two parts have other classes.
        RemoteError: it does not exist.
    """
    if root.folder is None:
        raise RemoteError("image_folder needs a --data-root")
    folder = (root.folder / settings.folder).resolve()
    if not folder.is_relative_to(root.folder.resolve()):
        raise HarnessError(f"{settings.folder!r} leaves the data root")
    train, test, names = _read_folders(folder, ("train", "test"), settings.size)
    return dataset("image_folder", train, test, names, IMAGENET_STATISTICS, str(folder))


@frozen
class ImageNet:
    """Settings of ``imagenet``."""

    size: int = setting(224, doc="side of the images", unit="pixels", ge=8)
    per_class: int = setting(
        100, doc="training images of a class, the first by name; all are held in memory", ge=1
    )
    test_per_class: int = setting(50, doc="validation images of a class", ge=1, le=50)


@component(
    "datasets",
    "imagenet",
    settings=ImageNet,
    source="ILSVRC 2012, Russakovsky et al. 2015; its validation images are the test set",
    facts=lambda s: Facts(
        _images(s.size), 1000, train=1000 * s.per_class, test=1000 * s.test_per_class
    ),
)
def imagenet(settings: ImageNet, root: DataRoot) -> Dataset:
    """ImageNet-1k from ``imagenet/train/SYNSET/*`` and ``imagenet/val/SYNSET/*``, a square crop.

    uint8 [N, 3, S, S] in memory: 100 images a class of 224 pixels are 15 GB, all are 193 GB.

    Raises:
        RemoteError: the folders do not exist; ImageNet cannot be downloaded without an account.
    """
    if root.folder is None:
        raise RemoteError("imagenet needs a --data-root with imagenet/train and imagenet/val")
    folder = root.folder / "imagenet"
    limits = (settings.per_class, settings.test_per_class)
    train, test, names = _read_folders(folder, ("train", "val"), settings.size, limits)
    return dataset("imagenet", train, test, names, IMAGENET_STATISTICS, str(folder))


def _read_folders(
    folder: Path,
    parts: tuple[str, str],
    size: int,
    limits: tuple[int | None, int | None] = (None, None),
) -> tuple[Split, Split, tuple[str, ...]]:
    for part in parts:
        if not (folder / part).is_dir():
            raise RemoteError(f"no folder {part!r} in {folder}")
    names = [_class_names(folder / part) for part in parts]
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
