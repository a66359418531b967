"""What tests share of corruptions that a network makes: small data, networks, interruptions."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness.components import get
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption
from harness.data.encodings import Images
from harness.data.types import Dataset, Split, dataset
from harness.errors import Interrupted
from harness.spec.structure import structure_use
from harness.store.slots import Slot
from harness.training.watch import Unwatched

COLOUR = Images((3, 8, 8), mean=(0.5, 0.4, 0.6), std=(0.25, 0.2, 0.3))
PLAIN = Images((1, 2, 2), mean=(0.0,), std=(1.0,))


def of(inputs: torch.Tensor, labels: list[int], classes: int, encoding: Images) -> Dataset:
    """A data set whose training and test samples are the same."""
    split = Split(inputs, torch.tensor(labels))
    return dataset("made", split, split, tuple("abcdefghij"[:classes]), encoding, "made")


def made(train: int = 30) -> Dataset:
    """Three classes of noisy copies of a picture each."""
    draws = torch.Generator().manual_seed(0)
    means = 128 + 12 * torch.randn(3, *COLOUR.shape, generator=draws)
    y = torch.arange(train) % 3
    x = means[y] + 40 * torch.randn(train, *COLOUR.shape, generator=draws)
    return of(x.clamp(0, 255).round().to(torch.uint8), y.tolist(), 3, COLOUR)


def network(seed: int = 0) -> nn.Module:
    """A small convolutional network that draws as it learns."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 3),
    ).eval()  # fmt: skip


def linear(weight: list[list[float]]) -> nn.Module:
    """Softmax regression with these weights of ``PLAIN`` images, before it is trained."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, len(weight), bias=False))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor(weight))
    return model.eval()


class Answer:
    """Answers every request with a copy of one model, which is also its own beginning."""

    def __init__(self, model: nn.Module) -> None:
        self.own = model

    def model(self, name: str) -> nn.Module:
        return copy.deepcopy(self.own)

    def snapshots(self, name: str) -> dict[int, dict[str, torch.Tensor]]:
        return {0: copy.deepcopy(self.own.state_dict())}


def prepared(name: str, data: Dataset, model: nn.Module, **more: Any) -> tuple[Any, CorruptionTask]:
    """The settings of a corruption and its task; ``task`` holds keywords of the latter."""
    given = {"corruption": name, "rows": torch.arange(len(data.train.targets)), "seed": "s"}
    given |= {"dataset": data, "answers": Answer(model), **more.pop("task", {})}
    return structure_use("corruptions", {"name": name, **more}).settings, CorruptionTask(**given)


def corrupted(name: str, data: Dataset, model: nn.Module, **more: Any) -> Corruption:
    found, task = prepared(name, data, model, **more)
    corruption: Corruption = get("corruptions", name).function(data.train, found, task)
    return corruption


class Stops(Unwatched):
    """Is interrupted at one step."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def step(self, done: int, total: int, loss: float | None) -> None:
        if done == self.at:
            raise Interrupted("stopped")


def goes_on_exactly(name: str, folder: Path, stops: tuple[int, ...], **more: Any) -> Corruption:
    """Check that a corruption that is stopped after these steps gives the same bits as one that is
    not, at the same cost. Returns what it gives."""
    data, model = made(), network()
    task: dict[str, Any] = {"watch": Unwatched()}
    whole = corrupted(name, data, model, task=task, **more)
    meter, slot = task["watch"].meter, Slot(folder, every_seconds=1e9)
    for at in stops:
        with pytest.raises(Interrupted):
            corrupted(name, data, model, task={"watch": Stops(at), "slot": slot}, **more)
    task = {"watch": Unwatched(), "slot": slot}
    found = corrupted(name, data, model, task=task, **more)
    assert whole.inputs is not None
    assert found.inputs is not None
    assert torch.equal(whole.inputs, found.inputs)
    assert all(torch.equal(value, found.tensors[key]) for key, value in whole.tensors.items())
    assert task["watch"].meter == meter
    return whole
