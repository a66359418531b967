"""Noise on the weights of convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from attrs import frozen

from harness.components import component, setting
from harness.data.pool import Batch
from harness.lazy import F, nn, torch
from harness.methods.layers import convolutions, needs_convolutions
from harness.methods.recipes import COSINE, OwnSGD, own_recipe
from harness.methods.task import Task
from harness.training.length import length_of


@frozen
class ConvNoise(OwnSGD):
    """Settings of ``conv_noise``."""

    noise: float = setting(0.6, doc="standard deviation of the noise before training", ge=0)
    late_noise: float = setting(0.005, doc="and of that before the last of several epochs", ge=0)
    layers: Literal["first", "all"] = setting(
        "first", doc="the first convolution alone (the published code), or all (the texts)"
    )
    epochs: int = setting(4, doc="passes over the retain set", unit="epochs", gt=0)
    lr: float = setting(7e-4, doc="learning rate of the first epoch, of a cosine", gt=0)
    other_weight: float = setting(0.05, doc="weight of all classes but class 0, which has 1", ge=0)
    weighting: Literal["batch", "sample"] = setting(
        "batch", doc="mean cross-entropy of the batch times the mean weight of its classes (the "
        "published code), or mean of each sample's cross-entropy times its weight",
    )  # fmt: skip


def add_noise(layers: Sequence[nn.Conv2d], deviation: float, draws: torch.Generator) -> None:
    """Add N(0, deviation^2) to every weight of ``layers``, not to biases."""
    for layer in layers:
        noise = torch.randn(layer.weight.shape, generator=draws)
        layer.weight.data.add_(noise.to(layer.weight.device), alpha=deviation)


@component(
    "methods",
    "conv_noise",
    settings=ConvNoise,
    source="NeurIPS 2023 unlearning, 3rd place; CFW in arXiv 2410.01276; protocol section 4.5",
    sees=frozenset({"retain", "original weights"}),
    check=needs_convolutions,
    work=lambda s, sizes: (s.epochs * sizes.retain,) * 2,
)
def conv_noise(model: nn.Module, task: Task, settings: ConvNoise) -> nn.Module:
    """Add strong noise to convolutions, fine-tune, with weak noise before the last epoch.

    As published, class 0's share of a batch sets the size of the step; no sample has a weight.
    Raises HarnessError when the model has no convolution.
    """
    layers = convolutions(model)[: 1 if settings.layers == "first" else None]
    add_noise(layers, settings.noise, task.generator("noise"))

    def loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        each = F.cross_entropy(logits.float(), batch.y, reduction="none")
        weight = torch.where(batch.y == 0, 1.0, settings.other_weight)
        return (each.mean() if settings.weighting == "batch" else each).mul(weight).mean()

    train = own_recipe(settings, task.recipe, schedule=COSINE)
    late = (settings.epochs - 1) * length_of(train, len(task.retain)).epoch

    def before_step(*_: Any) -> None:
        # The meter knows the steps taken also where an interrupted training goes on.
        if late and task.watch.meter.steps == late:
            add_noise(layers, settings.late_noise, task.generator("late noise"))

    hook = model.register_forward_pre_hook(before_step)
    task.fit(model, settings.shown(task.retain), train, loss)
    hook.remove()
    return model
