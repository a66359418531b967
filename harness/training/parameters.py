"""Which parameters an optimiser gets, and with how much weight decay."""

from __future__ import annotations

from typing import Any

import attrs

from harness.components import get
from harness.lazy import nn, torch
from harness.spec.blocks import Train, Use


def optimizer_of(model: nn.Module, train: Train) -> torch.optim.Optimizer:
    """The recipe's optimiser over the trainable parameters of ``model``."""
    use = train.optimizer
    decay = use.settings.weight_decay
    trainable = [p for p in model.parameters() if p.requires_grad]
    # Weights of convolutions and linear layers have two dimensions or more, the rest have one.
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": decay},
        {
            "params": [p for p in trainable if p.ndim <= 1],
            "weight_decay": decay if train.decay_norm_and_bias else 0.0,
        },
    ]
    filled = [group for group in groups if group["params"]]
    optimizer: torch.optim.Optimizer = get("optimizers", use.name).function(use.settings, filled)
    return optimizer


def clip_gradients(model: nn.Module, bound: float) -> None:
    """Scale the gradients of ``model`` so that their L2 norm is at most ``bound``."""
    nn.utils.clip_grad_norm_([_dense(p) for p in model.parameters()], bound)


def _dense(parameter: torch.Tensor) -> torch.Tensor:
    """``parameter``, or for a sparse gradient something that has its values as the gradient."""
    if parameter.grad is None or not parameter.grad.is_sparse:
        return parameter
    parameter.grad = parameter.grad.coalesce()
    values = parameter.grad.values()
    held = torch.empty_like(values)
    held.grad = values
    return held


def with_lr(train: Train, lr: float | None, **changes: Any) -> Train:
    """``train`` with another peak rate (None keeps it) and other fields."""
    if lr is not None:
        old = train.optimizer
        optimizer = Use(old.kind, old.name, attrs.evolve(old.settings, lr=lr))
        train = attrs.evolve(train, optimizer=optimizer)
    return attrs.evolve(train, **changes)


def averaged(model: nn.Module, train: Train) -> Any:
    """torch's exponential moving average of weights and buffers, or None."""
    if train.ema is None:
        return None
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    average = get_ema_multi_avg_fn(train.ema)
    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)
