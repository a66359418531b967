"""Selective synaptic dampening."""

from __future__ import annotations

from typing import Literal

import attrs
from attrs import frozen

from harness.components import component, setting
from harness.errors import HarnessError
from harness.lazy import nn, torch
from harness.methods.dampening import Dampening, importances, settle
from harness.methods.preparations.fisher import Fisher
from harness.methods.task import Task
from harness.spec.blocks import Use
from harness.spec.requests import Prepare


@frozen
class SSD(Dampening):
    """Settings of ``ssd``."""

    alpha: float = setting(10.0, doc="selection threshold on I_forget / I_other (eq. 6)", gt=0)
    dampening: float | None = setting(
        None, doc="lambda of eq. 7; 1 when neither this nor dampening_over_alpha is given", gt=0
    )
    dampening_over_alpha: float | None = setting(None, doc="lambda as a multiple of alpha", gt=0)
    importance_set: Literal["train", "retain"] = setting(
        "train", doc="the other importance is of all data (paper) or of the retain set (Potion)"
    )


def _prepare(settings: SSD) -> tuple[Prepare, ...]:
    fisher = Use("preparations", "fisher", Fisher(**settings.gradients()))
    return importances(fisher, settings.importance_set)


def _same_as(settings: SSD) -> SSD:
    """The simplest settings that give the same model.

    Where lambda >= alpha, weights between the two are multiplied by 1: the threshold is lambda.

    Raises:
        HarnessError: both ``dampening`` and ``dampening_over_alpha`` are given.
    """
    alpha, strength = settings.alpha, settings.dampening or 1.0
    if settings.dampening_over_alpha is not None:
        if settings.dampening is not None:
            raise HarnessError("ssd: give dampening or dampening_over_alpha, not both")
        # 0.1 * 3 is not quite 0.3, and equal points must have equal settings.
        strength = float(f"{settings.dampening_over_alpha * alpha:.12g}")
    return attrs.evolve(
        settings, alpha=max(alpha, strength), dampening=strength, dampening_over_alpha=None
    )


@component(
    "methods",
    "ssd",
    settings=SSD,
    source="Foster et al. AAAI 2024 (arXiv 2308.07707), eqs. 5-7",
    sees=frozenset({"retain", "forget", "original weights"}),
    requests=_prepare,
    same_as=_same_as,
    work=lambda settings, sizes: (0, 0),
)
def ssd(model: nn.Module, task: Task, settings: SSD) -> nn.Module:
    """Dampen the weights that matter more for the forget set than for the other data.

    Where I_f > alpha * I_d (eq. 6), theta <- min(1, lambda * I_d / I_f) * theta (eq. 7). A weight
    with I_d = 0 < I_f becomes 0. Buffers, such as BatchNorm statistics, stay.
    """
    settings = _same_as(settings)
    strength = settings.dampening or 1.0
    important = task.prepared("fisher", settings.importance_set)
    forget = task.prepared("fisher", "forget")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            selected = forget[name] > settings.alpha * important[name]
            factor = strength * important[name] / forget[name]
            weight[selected] *= factor[selected].clamp(max=1)
    return settle(model, task, settings)
