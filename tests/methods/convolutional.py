"""A small convolutional problem on digits, and SGD written out, for methods with own recipes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from methods.problem import DIGITS, make_task, pool
from torch import nn
from torch.nn import functional as F

from harness.components import get
from harness.errors import Interrupted
from harness.methods.task import Task
from harness.spec.structure import structure_use
from harness.training.seeding import generator, seeded_build
from harness.training.watch import Unwatched

FROZEN = 1e-60  # a rate that changes no weight: 0 as float32
Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def build(seed: str, widths: tuple[int, ...] = (4, 6)) -> nn.Module:
    use = structure_use("models", {"name": "small_cnn", "widths": list(widths)})
    return seeded_build(
        lambda: get("models", "small_cnn").function(use.settings, DIGITS.encoding, 10), seed
    )


def task_of(widths: tuple[int, ...] = (4, 6), retain: int = 72, **more: object) -> Task:
    """24 samples to forget, up to 72 to retain: 5 batches of 16 and a rest."""
    task = make_task(**more)  # type: ignore[arg-type]
    task._build = lambda seed: build(seed, widths)
    task._original = lambda: build("base", widths)
    task._pools = {**task._pools, "retain": pool(torch.arange(24, 24 + retain))}
    return task


def layers_of(model: nn.Module, kind: type = nn.Conv2d) -> dict[str, torch.Tensor]:
    """The weights of every layer of ``kind``, by name."""
    return {
        f"{name}.weight": module.weight.detach().clone()
        for name, module in model.named_modules()
        if isinstance(module, kind)
    }


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def same(found: nn.Module, expected: nn.Module, atol: float = 1e-6) -> None:
    for (name, a), b in zip(
        found.state_dict().items(), expected.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=atol, msg=lambda m, n=name: f"{n}: {m}")


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits, labels)


def by_hand(
    model: nn.Module,
    data: object,
    rates: Callable[[int], float],
    *,
    steps: int,
    size: int = 16,
    fit: int = 1,
    loss: Loss = cross_entropy,
    before_epoch: Callable[[int, nn.Module], None] = lambda epoch, model: None,
) -> nn.Module:
    """SGD with momentum 0.9 and decay 5e-4 in train mode, in the batches of the fit-th fit."""
    model = copy.deepcopy(model).train()
    draws = generator("stage", f"fit {fit} batches")
    speed = [torch.zeros_like(p) for p in model.parameters()]
    taken, epoch = 0, 0
    while taken < steps:
        before_epoch(epoch, model)
        for batch in data.epoch(size, draws):  # type: ignore[attr-defined]
            if taken == steps:
                break
            value = loss(model(batch.x), batch.y, batch.x)
            gradients = torch.autograd.grad(value, list(model.parameters()))
            with torch.no_grad():
                for weight, gradient, v in zip(model.parameters(), gradients, speed, strict=True):
                    v.mul_(0.9).add_(gradient + 5e-4 * weight)
                    weight -= rates(epoch) * v
            taken += 1
        epoch += 1
    return model.eval()


def cosine(peak: float, epochs: int) -> Callable[[int], float]:
    return lambda epoch: peak * (1 + math.cos(math.pi * epoch / epochs)) / 2


class Stopper(Unwatched):
    """Interrupts a training after that many steps."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def step(self, done: int, total: int, loss: float | None) -> None:
        if done == self.at:
            raise Interrupted("stopped")
