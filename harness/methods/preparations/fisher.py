"""The diagonal of the empirical Fisher information: how much each weight matters for a set."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from harness.components import component, setting
from harness.data.pool import Pool
from harness.errors import HarnessError
from harness.lazy import F, nn, torch
from harness.methods.task import Task


@frozen
class Fisher:
    """Settings of ``fisher``."""

    gradient: Literal["batch", "sample"] = setting(
        "batch", doc="square the batch-mean gradient, as published code does, or each sample's"
    )
    batch_size: int = setting(64, doc="samples of one gradient", unit="samples", gt=0)
    augment: bool = setting(False, doc="augment the samples as in training")


@component(
    "preparations",
    "fisher",
    settings=Fisher,
    source="Foster et al. AAAI 2024, eq. 4; batch-mean gradients as in its code (Potion section 5)",
)
def fisher(model: nn.Module, task: Task, settings: Fisher, pool: Pool) -> dict[str, torch.Tensor]:
    """Mean over batches (or samples) of the squared gradient of the mean cross-entropy.

    fp32, eval-mode BatchNorm, batches in order. Returns one tensor a parameter, of its shape.

    Raises:
        HarnessError: the pool is empty.
    """
    if not len(pool):
        raise HarnessError("fisher: there is no sample to take gradients of")
    model.eval().requires_grad_(True)
    names, weights = zip(*model.named_parameters(), strict=True)
    totals = [torch.zeros_like(weight) for weight in weights]
    terms = 0
    draws = task.generator("fisher augmentation")
    size = settings.batch_size if settings.gradient == "batch" else 1
    batches = -(-len(pool) // size)
    for batch in pool.ordered(size, augment=settings.augment, generator=draws):
        gradients = torch.autograd.grad(F.cross_entropy(model(batch.x), batch.y), weights)
        for total, gradient in zip(totals, gradients, strict=True):
            total.addcmul_(gradient, gradient)
        terms += 1
        task.watch.meter.forward(len(batch.y))
        task.watch.meter.backward(len(batch.y))
        task.watch.step(terms, batches, None)
    return {name: total / terms for name, total in zip(names, totals, strict=True)}
