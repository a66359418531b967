"""What corruptions share that are optimised against a surrogate, step by step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from harness.components import get
from harness.corruptions.task import CorruptionTask
from harness.data.encodings import Images
from harness.errors import HarnessError, Interrupted
from harness.lazy import F, nn, torch
from harness.spec.blocks import Use
from harness.spec.requests import Trained
from harness.training.length import loss_every
from harness.training.optimizer_state import below, optimizer_tensors, restore_optimizer
from harness.training.watch import Meter

SURROGATE = Trained("surrogate", data="clean")


class Brew(Protocol):
    """An optimisation under way: ``done`` of ``total`` steps are taken.

    ``step`` takes the next one and returns its loss. All that goes on from here is in ``state``;
    random numbers are drawn anew for each step, from its number.
    """

    done: int
    total: int

    def step(self, meter: Meter) -> float: ...
    def state(self) -> dict[str, torch.Tensor]: ...
    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None: ...


def surrogate(task: CorruptionTask) -> nn.Module:
    """The spec's model after its training on clean data, in eval mode."""
    assert task.answers is not None  # noqa: S101
    model: nn.Module = task.answers.model(SURROGATE.name)
    return model


def carry_out(brew: Brew, task: CorruptionTask) -> None:
    """Take the steps of ``brew`` that are left, saving on the way.

    Raises:
        HarnessError: a loss is not finite.
        Interrupted: from the task's watch, after the state was saved.
    """
    watch, slot = task.watch, task.slot
    if slot is not None and (saved := slot.load()) is not None:
        tensors, state = saved
        brew.done = state["done"]
        brew.restore(tensors)
        watch.meter.restore(state["meter"])

    def save() -> None:
        if slot is not None:
            tensors = {name: value.detach().cpu() for name, value in brew.state().items()}
            slot.save(tensors, {"done": brew.done, "meter": watch.meter.as_dict()})

    every = loss_every(brew.total)
    try:
        while brew.done < brew.total:
            loss = brew.step(watch.meter)
            brew.done += 1
            if not math.isfinite(loss):
                raise HarnessError(f"{task.corruption}: the loss is {loss} at step {brew.done}")
            if slot is not None and slot.due():
                save()
            watch.step(brew.done, brew.total, None if brew.done % every else loss)
    except Interrupted:
        save()
        raise


class Descent:
    """Moves ``values`` in place by an optimiser, whose rate a schedule changes over ``steps``."""

    def __init__(self, values: torch.Tensor, optimizer: Use, schedule: Use, steps: int) -> None:
        settings = optimizer.settings
        group = {"params": [values], "weight_decay": settings.weight_decay}
        make = get("optimizers", optimizer.name).function
        self.optimizer: torch.optim.Optimizer = make(settings, [group])
        self.values, self.rate, self.schedule, self.steps = values, settings.lr, schedule, steps

    def move(self, gradient: torch.Tensor, step: int) -> None:
        """Take the step of this number, from 0, against ``gradient``."""
        factor = get("schedules", self.schedule.name).function
        [group] = self.optimizer.param_groups
        group["lr"] = self.rate * factor(self.schedule.settings, step, self.steps, 1)
        self.values.grad = gradient
        self.optimizer.step()

    def state(self) -> dict[str, torch.Tensor]:
        """Values and optimiser."""
        state = {f"optimizer.{k}": v for k, v in optimizer_tensors(self.optimizer).items()}
        return {"values": self.values, **state}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on from ``state``, among other tensors."""
        self.values.copy_(tensors["values"])
        restore_optimizer(self.optimizer, below("optimizer.", tensors))


def gradients(
    model: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    parameters: Sequence[torch.Tensor],
    *,
    reduction: str = "mean",
    graph: bool = False,
) -> tuple[torch.Tensor, ...]:
    """The gradient of the cross-entropy with respect to each of ``parameters``.

    Args:
        x: what the model takes, [B, ...]; y: labels int64 [B].
        graph: it can be differentiated again.
    """
    loss = F.cross_entropy(model(x), y, reduction=reduction)
    return torch.autograd.grad(loss, parameters, create_graph=graph, materialize_grads=True)


def inner(first: Iterable[torch.Tensor], second: Iterable[torch.Tensor]) -> torch.Tensor:
    """The inner product of two lists of tensors, each as one long vector."""
    return torch.stack([(a * b).sum() for a, b in zip(first, second, strict=True)]).sum()


def channels(encoding: Images, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of the channels, [C, 1, 1], in intensities of 255."""
    mean, std = (
        255 * torch.tensor(values, device=device).view(-1, 1, 1)
        for values in (encoding.mean, encoding.std)
    )
    return mean, std
