"""What a data set is once it is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from harness.data.tokenizing import Tokenizer
from harness.lazy import torch


@frozen(eq=False)
class Split:
    """Samples with labels: ``inputs`` [N, *shape] as the encoding stores them, and ``targets``
    int64 [N]; ``groups``, where samples belong to any, their numbers int64 [N]; ``maps``, the
    targets of other tasks by name, [N, 1, H, W] of the size of the images."""

    inputs: torch.Tensor
    targets: torch.Tensor
    groups: torch.Tensor | None = None
    maps: Mapping[str, torch.Tensor] = field(factory=dict)

    def at(self, rows: torch.Tensor) -> Split:
        """The samples at ``rows``."""
        groups = None if self.groups is None else self.groups[rows]
        maps = {name: values[rows] for name, values in self.maps.items()}
        return Split(self.inputs[rows], self.targets[rows], groups, maps)


@frozen(eq=False)
class Dataset:
    """A loaded data set.

    ``encoding`` is what one sample is (``harness.data.encodings``); ``source`` says where the data
    were found; ``digest`` is SHA-256 over all tensors; ``lossy``: they are a JPEG copy of images
    that were published without loss. ``reordered``: training rows stand in another order than they
    were published in, so that row numbers of published code mean other samples. ``validation`` is
    a split of its own; without one, validation samples are held out of ``train``. ``tokenizer``
    made the ids of a text set.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    encoding: Any
    source: str
    digest: str
    lossy: bool = False
    reordered: bool = False
    validation: Split | None = None
    tokenizer: Tokenizer | None = None


@frozen
class DataRoot:
    """Where data sets are looked for, and whether they may be downloaded.

    ``cache`` is a folder of ours that may keep decoded tensors.
    """

    folder: Path | None
    offline: bool
    cache: Path | None = None


def digest(*splits: Split | None) -> str:
    """SHA-256 over type, shape and bytes of every tensor of ``splits``."""
    sha = hashlib.sha256()
    for split in filter(None, splits):
        tensors = (split.inputs, split.targets, split.groups, *split.maps.values())
        for tensor in (tensor for tensor in tensors if tensor is not None):
            sha.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            sha.update(tensor.contiguous().numpy().data)
    return sha.hexdigest()


def dataset(
    name: str,
    train: Split,
    test: Split,
    classes: tuple[str, ...],
    encoding: Any,
    source: str,
    *,
    lossy: bool = False,
    begins: tuple[int, ...] = (),
    validation: Split | None = None,
    tokenizer: Tokenizer | None = None,
) -> Dataset:
    """A ``Dataset`` with its digest; ``begins`` are the first training labels as published."""
    reordered = tuple(train.targets[: len(begins)].tolist()) != begins
    found = digest(train, test, validation)
    own = lossy, reordered, validation, tokenizer
    return Dataset(name, train, test, classes, encoding, source, found, *own)
