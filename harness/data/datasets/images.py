"""Published image data sets: CIFAR, MNIST and Imagenette."""

from __future__ import annotations

import attrs
from attrs import frozen

from harness.components import Facts, component, setting
from harness.data.encodings import Images, photographs
from harness.data.folders import read_folders
from harness.data.sources import Source, find
from harness.data.types import DataRoot, Dataset, dataset

CIFAR = Images(shape=(3, 32, 32), mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))
MNIST = Images(shape=(1, 28, 28), mean=(0.1307,), std=(0.3081,))
CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
# The first training labels in the order of the original files, which published code counts in: a
# copy in another order has them by a chance of 1 in 10^10.
CIFAR10_BEGINS = (6, 9, 9, 4, 1, 1, 2, 7, 8, 3)
CIFAR100_BEGINS = (19, 29, 0, 11, 1)
IMAGENETTE_CLASSES = (
    "tench", "English springer", "cassette player", "chain saw", "church",
    "French horn", "garbage truck", "gas pump", "golf ball", "parachute",
)  # fmt: skip


@frozen
class Scaled:
    """Settings of an image data set with statistics of its own."""

    normalise: bool = setting(
        True,
        doc="models see deviations from the data set's channel statistics, or else intensities "
        "in [0, 1]",
        later=True,
    )


def _seen(settings: Scaled, own: Images) -> Images:
    """How models see images whose ``own`` encoding has the data set's statistics."""
    if settings.normalise:
        return own
    channels = own.shape[0]
    return attrs.evolve(own, mean=(0.0,) * channels, std=(1.0,) * channels)


@component(
    "datasets",
    "cifar10",
    settings=Scaled,
    source="Krizhevsky 2009; channel statistics as in the Potion code (protocol section 1)",
    facts=lambda s: Facts(_seen(s, CIFAR), 10, train=50_000, test=10_000),
)
def cifar10(settings: Scaled, root: DataRoot) -> Dataset:
    """CIFAR-10: 50,000 + 10,000 colour images, uint8 [N, 3, 32, 32], 10 classes."""
    train, test, place, lossy = find(Source("cifar10", "uoft-cs/cifar10", "CIFAR10"), root)
    seen = _seen(settings, CIFAR)
    return dataset(
        "cifar10", train, test, CIFAR10_CLASSES, seen, place, lossy=lossy, begins=CIFAR10_BEGINS
    )


@component(
    "datasets",
    "cifar100",
    settings=Scaled,
    source="Krizhevsky 2009; CIFAR-10's channel statistics, as the Potion code uses them",
    facts=lambda s: Facts(_seen(s, CIFAR), 100, train=50_000, test=10_000),
)
def cifar100(settings: Scaled, root: DataRoot) -> Dataset:
    """CIFAR-100 with its fine labels: uint8 [N, 3, 32, 32], 100 classes, named by number."""
    source = Source("cifar100", "uoft-cs/cifar100", "CIFAR100", label="fine_label")
    train, test, place, lossy = find(source, root)
    names, seen = tuple(map(str, range(100))), _seen(settings, CIFAR)
    return dataset("cifar100", train, test, names, seen, place, lossy=lossy, begins=CIFAR100_BEGINS)


@component(
    "datasets",
    "mnist",
    settings=Scaled,
    source="LeCun et al. 1998; mean 0.1307 and std 0.3081 of all training pixels",
    facts=lambda s: Facts(_seen(s, MNIST), 10, train=60_000, test=10_000),
)
def mnist(settings: Scaled, root: DataRoot) -> Dataset:
    """MNIST: 60,000 + 10,000 grey images, uint8 [N, 1, 28, 28], 10 classes."""
    source = Source("mnist", "ylecun/mnist", "MNIST", mode="L")
    train, test, place, lossy = find(source, root)
    seen = _seen(settings, MNIST)
    return dataset("mnist", train, test, tuple("0123456789"), seen, place, lossy=lossy)


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
    facts=lambda s: Facts(photographs(s.size), 10, train=9_469, test=3_925),
)
def imagenette(settings: Sized, root: DataRoot) -> Dataset:
    """Imagenette: 9,469 + 3,925 colour photographs of 10 ImageNet classes, resized to a square.

    Found as parquet, as class folders ``imagenette/train`` and ``imagenette/val``, or on the Hub.
    """
    if root.folder is not None and (root.folder / "imagenette" / "train").is_dir():
        train, test, _ = read_folders(root.folder / "imagenette", ("train", "val"), settings.size)
        place = str(root.folder / "imagenette")
    else:
        source = Source(
            "imagenette",
            "frgfm/imagenette",
            "Imagenette",
            splits=("train", "validation"),
            config="320px",
        )
        train, test, place, _ = find(source, root, settings.size)
    return dataset("imagenette", train, test, IMAGENETTE_CLASSES, photographs(settings.size), place)
