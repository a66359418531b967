"""Small data sets, and what a corruption makes of one, for the tests of unlearnable data."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from harness.components import get
from harness.corruptions import autoregressive
from harness.corruptions.checking import checked
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption
from harness.data.encodings import Features, Images
from harness.data.types import Dataset, Split, dataset
from harness.spec.structure import structure_use


@pytest.fixture
def small_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer candidates for autoregressive coefficients, which two to four classes need."""
    monkeypatch.setattr(autoregressive, "CANDIDATES", 256)
    monkeypatch.setattr(autoregressive, "KEPT", 32)


def images(inputs: torch.Tensor, labels: torch.Tensor, classes: int) -> Dataset:
    """A data set that is its own test set."""
    split, channels = Split(inputs, labels), inputs.shape[1]
    encoding = Images(tuple(inputs.shape[1:]), (0.5,) * channels, (0.25,) * channels)
    return dataset("small", split, split, tuple(map(str, range(classes))), encoding, "here")


def random_images(count: int, *shape: int, classes: int = 4) -> Dataset:
    """Uniform intensities; labels in turn."""
    draws = torch.Generator().manual_seed(1)
    inputs = torch.randint(0, 256, (count, *shape), generator=draws).to(torch.uint8)
    return images(inputs, torch.arange(count) % classes, classes)


def vectors(inputs: torch.Tensor, labels: torch.Tensor, classes: int) -> Dataset:
    split = Split(inputs, labels)
    names = tuple(map(str, range(classes)))
    return dataset("vectors", split, split, names, Features(inputs.shape[1]), "here")


def made(name: str, data: Dataset, seed: str = "s", **written: Any) -> Corruption:
    """What the corruption leaves of all rows but the first two, checked."""
    rows = torch.arange(2, len(data.train.targets))
    task = CorruptionTask(corruption=name, rows=rows, dataset=data, seed=seed)
    use = structure_use("corruptions", {"name": name, **written})
    before = data.train.inputs.clone()
    found = checked(
        get("corruptions", name).function(data.train, use.settings, task), task, rule=False
    )
    assert torch.equal(data.train.inputs, before), "the clean data are beside it"
    return found
