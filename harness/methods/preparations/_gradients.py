"""What importances share: gradients of one quantity over a set, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from attrs import frozen

from harness.components import setting
from harness.data.pool import Batch, Pool
from harness.errors import HarnessError
from harness.lazy import nn, torch
from harness.methods.task import Task


@frozen
class Gradients:
    """Over which samples an importance is summed, and how."""

    gradient: Literal["batch", "sample"] = setting(
        "batch", doc="use the batch-mean gradient, as published code does, or each sample's"
    )
    batch_size: int = setting(64, doc="samples of one gradient", unit="samples", gt=0)
    augment: bool = setting(False, doc="augment the samples as in training")
    shuffle: bool = setting(
        False, doc="draw which samples make a batch, as published code", later=True
    )
    batches: int | None = setting(
        None,
        doc="at most as many, of samples that are drawn; all of the set's when left out",
        unit="gradients",
        gt=0,
        later=True,
    )

    @property
    def one(self) -> int:
        """Samples of one gradient."""
        return self.batch_size if self.gradient == "batch" else 1


def work(settings: Gradients, count: int) -> tuple[int, int]:
    """Samples that an importance of a set of ``count`` passes forward and backward."""
    used = count if settings.batches is None else min(count, settings.batches * settings.one)
    return used, used


def importance(
    model: nn.Module,
    task: Task,
    settings: Gradients,
    pool: Pool,
    quantity: Callable[[torch.Tensor, Batch], torch.Tensor],
    size: Literal["square", "absolute"],
) -> dict[str, torch.Tensor]:
    """Mean over batches (or samples) of the size of the gradient of ``quantity``.

    ``quantity`` takes logits [B, C] and the batch to a scalar. fp32, eval-mode BatchNorm, batches
    in order unless they are shuffled. Returns one tensor a parameter, of its shape.

    Raises:
        HarnessError: the pool is empty.
    """
    if not len(pool):
        raise HarnessError("there is no sample to take gradients of")
    model.eval().requires_grad_(True)
    names, weights = zip(*model.named_parameters(), strict=True)
    totals = [torch.zeros_like(weight) for weight in weights]
    terms = 0
    draws = task.generator("importance augmentation")
    if settings.shuffle or settings.batches is not None:
        order = torch.randperm(len(pool), generator=task.generator("importance order"))
        used, _ = work(settings, len(pool))
        pool = pool.subset(order[:used].to(pool.device))
    batches = -(-len(pool) // settings.one)
    for batch in pool.ordered(settings.one, augment=settings.augment, generator=draws):
        gradients = torch.autograd.grad(quantity(model(batch.x), batch), weights)
        for total, gradient in zip(totals, gradients, strict=True):
            if size == "square":
                total.addcmul_(gradient, gradient)
            else:
                total.add_(gradient.abs())
        terms += 1
        task.watch.meter.forward(len(batch.y))
        task.watch.meter.backward(len(batch.y))
        task.watch.step(terms, batches, None)
    return {name: total / terms for name, total in zip(names, totals, strict=True)}
