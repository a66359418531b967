"""Data that are drawn, and need no file."""

from __future__ import annotations

from attrs import frozen

from harness.components import Facts, component, setting
from harness.data.encodings import Features
from harness.data.types import DataRoot, Dataset, Split, dataset
from harness.errors import HarnessError
from harness.lazy import torch


@frozen
class Toy:
    """Settings of ``toy``; those of scikit-learn's make_classification that are not here have its
    own defaults."""

    train: int = setting(5000, doc="training samples", unit="samples", ge=10)
    test: int = setting(1000, doc="test samples, drawn with them", unit="samples", ge=10)
    features: int = setting(12, doc="numbers of a sample", ge=3)
    informative: int = setting(8, doc="of them, those that clusters lie in", ge=1)
    redundant: int = setting(2, doc="of them, mixtures of the informative ones", ge=0)
    classes: int = setting(10, doc="classes", ge=2)
    clusters: int = setting(1, doc="clusters of a class", ge=1)
    separation: float = setting(1.0, doc="half the side of the cube of clusters (class_sep)", gt=0)
    seed: int = setting(0, doc="seed of the draw", ge=0)


@component(
    "datasets",
    "toy",
    settings=Toy,
    source="scikit-learn make_classification (Guyon 2003); 5,000 samples of 12 features in 10 "
    "classes as in arXiv 2509.08058, the rest chosen here (protocol section 2)",
    facts=lambda s: Facts(Features(s.features), s.classes, train=s.train, test=s.test),
)
def toy(settings: Toy, root: DataRoot) -> Dataset:
    """Gaussian clusters at the corners of a cube, float32 [N, features]; 1 % of labels are random.

    Raises HarnessError where scikit-learn refuses the numbers: more clusters than corners, say.
    """
    from sklearn.datasets import make_classification

    try:
        inputs, labels = make_classification(
            n_samples=settings.train + settings.test,
            n_features=settings.features,
            n_informative=settings.informative,
            n_redundant=settings.redundant,
            n_classes=settings.classes,
            n_clusters_per_class=settings.clusters,
            class_sep=settings.separation,
            random_state=settings.seed,
        )
    except ValueError as problem:
        raise HarnessError(f"toy: {problem}") from None
    every = Split(torch.from_numpy(inputs).float(), torch.from_numpy(labels).long())
    parts = torch.arange(len(labels)).split([settings.train, settings.test])
    train, test = (every.at(rows) for rows in parts)
    names = tuple(map(str, range(settings.classes)))
    return dataset("toy", train, test, names, Features(settings.features), "drawn by scikit-learn")
