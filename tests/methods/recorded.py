"""What a method does between and in its trainings."""

from __future__ import annotations

from typing import Any

import torch
from attrs import define
from methods.problem import DIGITS, make_task
from torch import nn

from harness.components import get
from harness.data.datasets.images import CIFAR
from harness.data.encodings import Images
from harness.data.pool import Pool
from harness.methods.task import Task
from harness.spec.blocks import Train
from harness.spec.structure import structure_use
from harness.training.seeding import seeded_build

State = dict[str, torch.Tensor]


@define
class Fit:
    """One training: weights before and after it, and what it was given."""

    before: State
    after: State
    trained: set[str]
    pool: Pool
    train: Train

    @property
    def lr(self) -> float:
        return float(self.train.optimizer.settings.lr)


def state(model: nn.Module) -> State:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def recorded(task: Task, *, train: bool = True) -> list[Fit]:
    """Fills up with every training of ``task``, which is left out unless it is to ``train``."""
    fits: list[Fit] = []
    fit = task.fit

    def spy(model: nn.Module, pool: Pool, recipe: Train, *more: Any, **options: Any) -> Any:
        trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
        fits.append(Fit(state(model), {}, trained, pool, recipe))
        found = fit(model, pool, recipe, *more, **options) if train else None
        fits[-1].after = state(model)
        return found

    task.fit = spy  # type: ignore[method-assign]
    return fits


def changed(before: State, after: State) -> set[str]:
    return {name for name, weight in before.items() if not torch.equal(weight, after[name])}


def model_of(name: str, encoding: Images = DIGITS.encoding, **settings: object) -> nn.Module:
    use = structure_use("models", {"name": name, **settings})
    build = get("models", name).function
    return seeded_build(lambda: build(use.settings, encoding, 10), "base")


def convolutional() -> nn.Module:
    """Three convolutions with BatchNorm and a linear layer."""
    return model_of("small_cnn", widths=[4, 6, 5])


def resnet18() -> nn.Module:
    """The challenge's own, for what is only looked at."""
    return model_of("torchvision", CIFAR, arch="resnet18")


def task_of(model: nn.Module, **changes: Any) -> Task:
    """The shared problem, with ``model`` for its base model."""
    import copy

    task = make_task(**changes)
    task._original = lambda: copy.deepcopy(model)
    return task


def stopped_and_resumed(name: str, folder: Any, steps: int, **settings: object) -> None:
    """Asserts that a method that stops after ``steps`` ends with the bytes of one that does not."""
    from methods.problem import run

    from harness.errors import Interrupted
    from harness.store.slots import Slot
    from harness.training.watch import Unwatched

    class Stop(Unwatched):
        def step(self, done: int, total: int, loss: float | None) -> None:
            if self.meter.steps == steps:
                raise Interrupted("stopped")

    whole = task_of(convolutional())
    expected = run(name, whole, convolutional(), **settings).state_dict()
    slot = Slot(folder / "slot", every_seconds=1e9)
    try:
        run(name, task_of(convolutional(), watch=Stop(), slot=slot), convolutional(), **settings)
        raise AssertionError("it did not stop")
    except Interrupted:
        pass
    again = task_of(convolutional(), slot=slot)
    found = run(name, again, convolutional(), **settings).state_dict()
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    assert again.watch.meter == whole.watch.meter
