"""A smaller data set: the same samples for the same numbers, as balanced as can be."""

from __future__ import annotations

import attrs

from harness.data.types import Dataset, Split, digest
from harness.errors import HarnessError
from harness.lazy import torch


def subset(dataset: Dataset, train: int | None, test: int | None) -> Dataset:
    """``dataset`` cut to ``train`` and ``test`` samples; None keeps all. A validation split of its
    own is cut to as many as the test set, where it has more.

    Raises:
        HarnessError: more samples are asked for than there are.
    """
    if train is None and test is None:
        return dataset
    smaller = [
        _first(split, count, f"{dataset.name} {name}")
        for split, count, name in (
            (dataset.train, train, "train"),
            (dataset.test, test, "test"),
        )
    ]
    own = dataset.validation
    if own is not None and test is not None:
        own = _first(own, min(test, len(own.targets)), f"{dataset.name} validation")
    found = digest(*smaller, own)
    return attrs.evolve(dataset, train=smaller[0], test=smaller[1], validation=own, digest=found)


def _first(split: Split, count: int | None, name: str) -> Split:
    """The first samples of each class in turn, in the order of the data."""
    total = len(split.targets)
    if count is None:
        return split
    if count > total:
        raise HarnessError(f"{name} has {total:,} samples; {count:,} were asked for")
    rank = torch.empty(total, dtype=torch.int64)
    for label in split.targets.unique():
        rows = (split.targets == label).nonzero().squeeze(1)
        rank[rows] = torch.arange(len(rows))
    rows = (rank * total + torch.arange(total)).argsort()[:count].sort().values
    return split.at(rows)
