"""LSP: every image gets a mosaic of colours that a linear model can tell its class from."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from attrs import frozen

from harness.components import Facts, Misfit, component, setting
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption
from harness.corruptions.unlearnable import (
    Rounding,
    Unlearnable,
    chosen,
    expected,
    how_stored,
    unlearnable,
)
from harness.data.types import Split
from harness.lazy import torch


@frozen
class LinearlySeparable(Unlearnable):
    """Settings of ``linearly_separable``."""

    patch: int = setting(8, doc="side of a patch of one colour", unit="pixels", gt=0)
    epsilon: float = setting(
        6.0,
        doc="root mean square of an image's perturbation: its L2 norm is epsilon / 255 * "
        "sqrt(C H W), which is 1.304 for CIFAR",
        unit="intensities of 255",
        gt=0,
        le=255,
    )
    separation: float = setting(10.0, doc="distance of the clusters from the origin", gt=0)
    rounding: Rounding = how_stored("truncate")


def _grid(settings: LinearlySeparable, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Patches down and across, and channels: what one vector's numbers are."""
    channels, height, width = shape
    return ceil(height / settings.patch), ceil(width / settings.patch), channels


def misfits(settings: LinearlySeparable, facts: Facts) -> Iterator[Misfit]:
    """Patches so large that there are fewer corners for clusters than classes (trait ``check``)."""
    down, across, channels = _grid(settings, facts.encoding.shape)
    if 2 ** (down * across * channels) < facts.classes:
        yield Misfit(
            "patch",
            f"found {settings.patch}; that makes {down} x {across} patches, which are too few "
            f"for {facts.classes} classes; choose smaller ones",
        )


@component(
    "corruptions",
    "linearly_separable",
    settings=LinearlySeparable,
    amount=expected,
    check=misfits,
    leaves=frozenset({"linf", "l2"}),
    source="Yu et al., arXiv 2111.00898, section 4; repository dayu11/"
    "Availability-Attacks-Create-Shortcuts (protocol unlearnability, section 4)",
)
def linearly_separable(
    train: Split, settings: LinearlySeparable, task: CorruptionTask
) -> Corruption:
    """Add to each image a vector of its class's cluster, drawn as patches of one colour each.

    The clusters are those of scikit-learn's ``make_classification``: one for each class, round a
    corner of a hypercube, in as many dimensions as there are patches times channels, all of them
    informative, no label wrong. Each image has a vector of its own. It is not within 8/255: at the
    published settings the largest change is about 16/255. Patches at the right and lower edge are
    cut where the image ends. Left are ``linf`` and ``l2``, float32 [m] in intensities of [0, 1],
    of the stored images, to which clipping and truncation belong.
    """
    rows = chosen(settings, task)
    down, across, channels = _grid(settings, train.inputs.shape[1:])
    height, width = train.inputs.shape[2:]
    features, classes = down * across * channels, len(task.dataset.classes)
    vectors = _vectors(settings, train.targets[rows], classes, features, task)
    colours = vectors.view(-1, down, across, channels).permute(0, 3, 1, 2)

    def change(x: torch.Tensor, at: slice) -> torch.Tensor:
        mosaic = colours[at]
        for dim in (2, 3):
            mosaic = mosaic.repeat_interleave(settings.patch, dim)
        mosaic = mosaic[..., :height, :width]
        scale = settings.epsilon / mosaic.square().flatten(1).mean(1).sqrt()
        return x + scale.view(-1, 1, 1, 1) * mosaic

    return unlearnable(train, rows, change, settings.rounding)


def _vectors(
    settings: LinearlySeparable,
    labels: torch.Tensor,
    classes: int,
    features: int,
    task: CorruptionTask,
) -> torch.Tensor:
    """float32 [m, features]: of each of ``labels`` [m] a vector of its class's cluster.

    As many are drawn of each class as the largest has, so that none runs out.
    """
    from sklearn.datasets import make_classification

    most = int(labels.bincount().max())
    drawn, cluster = make_classification(
        n_samples=classes * most,
        n_features=features,
        n_informative=features,
        n_redundant=0,
        n_classes=classes,
        n_clusters_per_class=1,
        class_sep=settings.separation,
        flip_y=0,
        random_state=int(torch.randint(2**31, (), generator=task.generator("noise"))),
    )
    vectors = torch.empty(len(labels), features)
    for label in range(classes):
        own = (labels == label).nonzero().squeeze(1)
        vectors[own] = torch.from_numpy(drawn[cluster == label][: len(own)]).float()
    return vectors
