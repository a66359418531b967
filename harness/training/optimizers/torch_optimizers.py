"""torch's optimisers."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from harness.components import component, setting
from harness.lazy import torch

Groups = list[dict[str, Any]]


@frozen
class SGD:
    """Settings of ``sgd``."""

    lr: float = setting(0.1, doc="peak learning rate", gt=0)
    momentum: float = setting(0.9, doc="momentum", ge=0, lt=1)
    nesterov: bool = setting(False, doc="Nesterov's momentum")
    weight_decay: float = setting(0.0, doc="L2 penalty", ge=0)


@component("optimizers", "sgd", settings=SGD, source="Sutskever et al. 2013; torch.optim.SGD")
def sgd(settings: SGD, groups: Groups) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum."""
    return torch.optim.SGD(
        groups,
        lr=settings.lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        fused=_fused(groups),
    )


def _fused(groups: Groups) -> bool | None:
    """Whether one kernel takes the whole step; with fp16 it also spares a wait for the device."""
    return all(weight.is_cuda for group in groups for weight in group["params"]) or None


@frozen
class Adam:
    """Settings of ``adam`` and ``adamw``."""

    lr: float = setting(1e-3, doc="peak learning rate", gt=0)
    beta1: float = setting(0.9, doc="decay of the mean gradient", ge=0, lt=1)
    beta2: float = setting(0.999, doc="decay of the mean squared gradient", ge=0, lt=1)
    eps: float = setting(1e-8, doc="added to the denominator", gt=0)
    weight_decay: float = setting(0.0, doc="L2 penalty, or decoupled decay for adamw", ge=0)


def _adam(kind: Any, settings: Adam, groups: Groups) -> torch.optim.Optimizer:
    betas = (settings.beta1, settings.beta2)
    optimizer: torch.optim.Optimizer = kind(
        groups, lr=settings.lr, betas=betas, eps=settings.eps, fused=_fused(groups)
    )
    return optimizer


@component("optimizers", "adam", settings=Adam, source="Kingma and Ba 2015; torch.optim.Adam")
def adam(settings: Adam, groups: Groups) -> torch.optim.Optimizer:
    """Adam."""
    return _adam(torch.optim.Adam, settings, groups)


@component("optimizers", "adamw", settings=Adam, source="Loshchilov and Hutter 2019; torch AdamW")
def adamw(settings: Adam, groups: Groups) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay."""
    return _adam(torch.optim.AdamW, settings, groups)
