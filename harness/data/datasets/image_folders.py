"""Image data sets of one's own folders, and ImageNet, whose files nobody may pass on."""

from __future__ import annotations

from os.path import realpath
from pathlib import Path

from attrs import frozen

from harness.components import Facts, component, setting
from harness.data.encodings import photographs
from harness.data.folders import read_folders
from harness.data.types import DataRoot, Dataset, dataset
from harness.errors import HarnessError, RemoteError


@frozen
class Folder:
    """Settings of ``image_folder``."""

    folder: str = setting(
        doc="folder below the data root, with train/CLASS/ and test/CLASS/", example="flowers"
    )
    size: int = setting(32, doc="side that images are resized to", unit="pixels", ge=4)
    classes: int = setting(10, doc="number of classes, each a folder", ge=2)


@component(
    "datasets",
    "image_folder",
    settings=Folder,
    source="one folder for each class, as torchvision's ImageFolder; ImageNet channel statistics",
    facts=lambda s: Facts(photographs(s.size), s.classes, train=None, test=None),
)
def image_folder(settings: Folder, root: DataRoot) -> Dataset:
    """Any images in ``FOLDER/train/CLASS/*`` and ``FOLDER/test/CLASS/*``: uint8 [N, 3, S, S].

    Raises:
        HarnessError: the folder leaves the data root, the two parts have other classes, or there
            are not as many as the spec says.
        RemoteError: it does not exist.
    """
    if root.folder is None:
        raise RemoteError("image_folder needs a --data-root")
    folder = Path(realpath(root.folder / settings.folder))  # a loop of links is no folder
    if not folder.is_relative_to(realpath(root.folder)):
        raise HarnessError(f"{settings.folder!r} leaves the data root")
    train, test, names = read_folders(folder, ("train", "test"), settings.size)
    if len(names) != settings.classes:
        raise HarnessError(
            f"{folder} has {len(names)} classes, the spec says classes: {settings.classes}"
        )
    return dataset("image_folder", train, test, names, photographs(settings.size), str(folder))


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
        photographs(s.size), 1000, train=1000 * s.per_class, test=1000 * s.test_per_class
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
    train, test, names = read_folders(folder, ("train", "val"), settings.size, limits)
    return dataset("imagenet", train, test, names, photographs(settings.size), str(folder))
