"""Dampening weights by the ratio of two importances, shared by the SSD family."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import attrs
from attrs import frozen

from harness.components import setting
from harness.errors import HarnessError
from harness.lazy import nn, torch
from harness.methods.preparations._gradients import Gradients
from harness.methods.task import Task
from harness.spec.blocks import Use
from harness.spec.requests import Prepare


@frozen
class Dampening(Gradients):
    """Settings that the members of the SSD family share: those of their importances, and what
    follows the dampening."""

    batchnorm: Literal["kept", "estimated"] = setting(
        "kept",
        doc="the running statistics of BatchNorm: left as they are, or estimated again on the "
        "retain set (a diagnostic, not part of any published method)",
        later=True,
    )

    def gradients(self) -> dict[str, Any]:
        """The settings of an importance."""
        return {field.name: getattr(self, field.name) for field in attrs.fields(Gradients)}


def importances(importance: Use, other: Literal["train", "retain"]) -> tuple[Prepare, ...]:
    """``importance`` of the set ``other``, and of all of the forget set."""
    whole = attrs.evolve(importance.settings, batches=None)
    return (
        Prepare(importance.name, importance.settings, other),
        Prepare(importance.name, whole, "forget"),
    )


def settle(model: nn.Module, task: Task, settings: Dampening) -> nn.Module:
    """``model`` after dampening, with its BatchNorm as ``settings`` say.

    Estimated again, a running mean or variance is the average over batches of 512 samples of the
    retain set, without augmentation, all other layers in eval mode.
    """
    if settings.batchnorm == "kept":
        return model
    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain average
        layer.train()
    with torch.no_grad():
        for batch in task.retain.ordered(512):
            model(batch.x)
            task.watch.meter.forward(len(batch.y))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    return model.eval()


def adaptive_percentile(q: float) -> float:
    """100 - ln(1 + 100 q): the percentile of the ratios above which ASSD dampens; at least 0."""
    return max(0.0, 100 - math.log1p(100 * q))


class Ratios:
    """r_j = I_j(forget) / I_j(other) of every weight of ``model``, sorted once.

    ``dampen`` then works on a prefix: weights beyond a threshold are those at the front. 0 / 0
    counts as no ratio and is never dampened; I_j(other) = 0 < I_j(forget) is an infinite one, which
    no percentile looks at and every threshold dampens, to zero.

    Args:
        model: changed in place by ``dampen``.
        forget, other: importances by parameter name, each of its parameter's shape.

    Raises:
        HarnessError: no ratio is finite.
    """

    def __init__(
        self,
        model: nn.Module,
        forget: Mapping[str, torch.Tensor],
        other: Mapping[str, torch.Tensor],
    ) -> None:
        self._weights = dict(model.named_parameters())
        flat = torch.cat([(forget[n] / other[n]).flatten() for n in self._weights])
        ratios = flat.nan_to_num(nan=-1.0, posinf=math.inf)
        self._ratios, self._order = ratios.sort(descending=True, stable=True)
        self.count = len(flat)
        known = self._ratios >= 0
        self._infinite = int(torch.isinf(self._ratios).sum())
        self._known = int(known.sum())
        if self._known == self._infinite:
            raise HarnessError("no weight has a finite ratio of importances")
        # Ascending for the search of thresholds; float64 so that interpolation keeps every bit.
        self._ascending = self._ratios[self._infinite : self._known].flip(0).double()
        self._values = torch.cat([w.detach().flatten() for w in self._weights.values()])
        self._taken = 0

    def percentile(self, percent: float) -> float:
        """The percentile of the finite ratios, interpolated linearly."""
        place = (len(self._ascending) - 1) * percent / 100
        low = min(int(place), len(self._ascending) - 1)
        high = min(low + 1, len(self._ascending) - 1)
        below, above = self._ascending[low].item(), self._ascending[high].item()
        return below + (above - below) * (place - low)

    def dampen(self, threshold: float) -> int:
        """Scale every weight with r_j > ``threshold`` by min(1, 1 / r_j).

        Thresholds may only fall from call to call: each call changes what the former left. Returns
        how many weights are beyond the threshold.
        """
        sought = torch.tensor(threshold, dtype=torch.float64, device=self._order.device)
        beyond = torch.searchsorted(self._ascending, sought, right=True)
        taken = self._infinite + len(self._ascending) - int(beyond)
        if taken > self._taken:
            added = self._order[self._taken : taken]
            factor = (1 / self._ratios[self._taken : taken]).clamp(max=1)
            self._values[added] *= factor
            self._taken = taken
            self._write()
        return taken

    def _write(self) -> None:
        start = 0
        with torch.no_grad():
            for weight in self._weights.values():
                part = self._values[start : start + weight.numel()]
                weight.copy_(part.view(weight.shape))
                start += weight.numel()
