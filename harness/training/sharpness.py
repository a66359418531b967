"""Searches for how far a small change of one layer's weights can move the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, cast

from attrs import frozen

from harness.components import setting
from harness.data.pool import Batch, Pool
from harness.data.tasks import CLASS
from harness.lazy import F, nn, torch
from harness.training.seeding import generator
from harness.training.watch import Meter

SAL = "sharpness"  # the preparation that measures it
TINY = 1e-30  # in place of the norm of nothing


@frozen
class Sharpness:
    """Settings of ``sharpness``."""

    snapshots: int = setting(
        8, doc="points of the training that are measured, evenly spaced up to its end", gt=0
    )
    at: tuple[int, ...] | None = setting(
        None, doc="measure after these steps instead", unit="optimiser steps", ge=0
    )
    samples: int | None = setting(
        256,
        doc="training samples that the loss is the mean over, the same in all cells and seeds; "
        "all of them when left out",
        unit="samples",
        gt=0,
    )
    radius: float = setting(
        0.05, doc="how far a layer's weights are moved at most, as a share of their norm", gt=0
    )
    iterations: int = setting(10, doc="steps of the search, or passes of the official one", gt=0)
    step: float = setting(0.25, doc="length of a step, as a share of the radius", gt=0)
    reading: Literal["definition", "official"] = setting(
        "definition",
        doc="projected steps in eval mode from a loss that is measured there; or as the official "
        "code: passes of SGD, projected after each, from the loss of train mode",
    )
    lr: float = setting(0.1, doc="learning rate of the official passes", gt=0)
    task: str = setting(
        CLASS,
        doc="whose loss it is, of a model of several tasks: the class's cross-entropy, or the mean "
        "absolute error of a map",
        later=True,
    )


def layers_of(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weight tensor of each convolution and linear layer, once however many layers share it;
    no bias, no normalisation."""
    found: dict[str, nn.Parameter] = {}
    for name, module in model.named_modules():
        layer = isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
        if layer and all(module.weight is not weight for weight in found.values()):
            found[name] = module.weight
    return found


def fixed(pool: Pool, samples: int | None) -> Pool:
    """The samples at positions that depend on nothing but how many there are."""
    if samples is None or samples >= len(pool):
        return pool
    order = torch.randperm(len(pool), generator=generator("sharpness", "samples"))
    return pool.subset(order[:samples].sort().values.to(pool.device))


@frozen(eq=False)
class Searches:
    """Searches for the largest change of the loss that a change of one weight makes; every other
    weight of ``model`` is frozen, and the one that is searched for is left as it was."""

    model: nn.Module
    settings: Sharpness
    meter: Meter

    def climb(self, weight: torch.Tensor, sign: int, batches: list[Batch]) -> torch.Tensor:
        """The loss before and after each projected step up (1) or down (-1), float32
        [iterations + 1]."""
        start, found = weight.detach().clone(), []
        radius = self.settings.radius * start.norm()
        for _ in range(self.settings.iterations):
            loss, gradient = self.slope(weight, batches)
            found.append(loss)
            along = gradient / gradient.norm().clamp(min=TINY)
            weight.data.add_(sign * self.settings.step * radius * along)
            _project(weight, start, radius)
        found.append(self.loss(batches))
        weight.data.copy_(start)
        return torch.stack(found)

    def descend(
        self, weight: torch.Tensor, sign: int, passes: Callable[[], Iterable[Batch]]
    ) -> torch.Tensor:
        """The losses after each pass of SGD, projected at its end, float32 [iterations]."""
        start, found = weight.detach().clone(), []
        for _ in range(self.settings.iterations):
            for batch in passes():
                _, gradient = self.slope(weight, [batch])
                weight.data.add_(gradient, alpha=sign * self.settings.lr)
            _project(weight, start, self.settings.radius * start.norm())
            found.append(self.loss(passes()))
        weight.data.copy_(start)
        return torch.stack(found)

    def loss(self, batches: Iterable[Batch]) -> torch.Tensor:
        """The mean loss over all samples."""
        losses, count = list[torch.Tensor](), 0
        with torch.no_grad():
            for batch in batches:
                losses.append(self._sum(batch))
                count += len(batch.y)
        self.meter.forward(count)
        return torch.stack(losses).sum() / count

    def slope(
        self, weight: torch.Tensor, batches: list[Batch]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """That loss, and its gradient with respect to ``weight``, 0 where it plays no part."""
        losses, count = list[torch.Tensor](), sum(len(batch.y) for batch in batches)
        slope = torch.zeros_like(weight)
        weight.requires_grad_(True)
        for batch in batches:
            loss = self._sum(batch)
            if loss.requires_grad:
                slope += torch.autograd.grad(loss, weight)[0]
            losses.append(loss.detach())
        weight.requires_grad_(False)
        self.meter.forward(count)
        self.meter.backward(count)
        return torch.stack(losses).sum() / count, slope / count

    def _sum(self, batch: Batch) -> torch.Tensor:
        """The loss of each sample, summed."""
        task, model = self.settings.task, cast(Any, self.model)
        if task == CLASS:
            return F.cross_entropy(model(batch.x), batch.y, reduction="sum")
        found = model.outputs(batch.x)[1][task].float()
        return F.l1_loss(found, model.target(batch.maps[task])) * len(batch.y)


def _project(weight: torch.Tensor, start: torch.Tensor, radius: torch.Tensor) -> None:
    """Put ``weight`` back into the ball round ``start``; one that is no number stays."""
    moved = weight.data - start
    size = moved.norm()
    weight.data.copy_(start + moved * torch.where(size > radius, radius / size, 1.0))
