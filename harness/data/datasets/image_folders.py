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
    classes: int = setting(
        1000, doc="the first classes by name; ImageNet-100 has 100", ge=2, le=1000, later=True
    )


@component(
    "datasets",
    "imagenet",
    settings=ImageNet,
    source="ILSVRC 2012, Russakovsky et al. 2015; its validation images are the test set",
    facts=lambda s: Facts(
        photographs(s.size),
        s.classes,
        train=s.classes * s.per_class,
        test=s.classes * s.test_per_class,
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
    train, test, names = read_folders(
        folder, ("train", "val"), settings.size, limits, settings.classes
    )
    return dataset("imagenet", train, test, names, photographs(settings.size), str(folder))


@frozen
class Lacuna:
    """Settings of ``lacuna100``."""

    size: int = setting(32, doc="side that pictures are resized to", unit="pixels", ge=8)
    classes: int = setting(100, doc="persons", ge=2)
    per_class: int = setting(400, doc="training pictures of a person, the first by name", ge=1)
    test_per_class: int = setting(100, doc="test pictures of a person, the first by name", ge=1)


@component(
    "datasets",
    "lacuna100",
    settings=Lacuna,
    source="Golatkar et al., CVPR 2020, from VGGFace2 (Cao et al. 2018); built as "
    "meghdadk/SCRUB at 98ffb11, create_lacuna.py",
    facts=lambda s: Facts(
        photographs(s.size),
        s.classes,
        train=s.classes * s.per_class,
        test=s.classes * s.test_per_class,
    ),
)
def lacuna100(settings: Lacuna, root: DataRoot) -> Dataset:
    """``lacuna100/train/PERSON/*`` and ``lacuna100/test/PERSON/*``: uint8 [N, 3, S, S].

    The builder draws persons of VGGFace2 with at least 500 pictures, 500 pictures of each, both
    with replacement, trains on the first 400 and resizes to 32 pixels. Its outcome is what has to
    lie there: which persons and pictures they were is not published with it.

    Raises:
        RemoteError: the folders are not there; nobody may pass the pictures on.
        HarnessError: there are other than ``classes`` persons, or too few pictures of them.
    """
    licence = (
        "The pictures are VGGFace2's, which nobody may pass on and which its authors no longer "
        "give out; their terms: https://www.robots.ox.ac.uk/~vgg/data/vgg_face2/"
    )
    if root.folder is None:
        raise RemoteError(f"lacuna100 needs a --data-root with lacuna100/train. {licence}")
    folder, limits = root.folder / "lacuna100", (settings.per_class, settings.test_per_class)
    try:
        train, test, names = read_folders(folder, ("train", "test"), settings.size, limits)
    except RemoteError as problem:
        raise RemoteError(f"lacuna100: {problem}. {licence}") from None
    found = (len(names), len(train.targets), len(test.targets))
    wanted = (settings.classes, *(settings.classes * limit for limit in limits))
    if found != wanted:
        shown = " {0} persons, {1:,} training and {2:,} test pictures"
        raise HarnessError(f"{folder}: found{shown.format(*found)}; needed{shown.format(*wanted)}")
    return dataset("lacuna100", train, test, names, photographs(settings.size), str(folder))
