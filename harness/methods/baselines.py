"""The ends of the scale: do nothing, or train again without the forget set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import attrs
from attrs import frozen

from harness.components import NoSettings, component, setting
from harness.errors import HarnessError
from harness.lazy import nn, torch
from harness.methods.length import budget, samples_trained, with_length, within
from harness.methods.task import Task
from harness.spec.blocks import Train, Use, use
from harness.training.parameters import with_lr


@component(
    "methods",
    "none",
    source="the base model as it is",
    sees=frozenset({"original weights"}),
    work=lambda settings, sizes: (0, 0),
)
def none(model: nn.Module, task: Task, settings: NoSettings) -> nn.Module:
    """Leave the base model as it is."""
    return model


@frozen
class Retrain:
    """Settings of ``retrain``; what is left out is as in the base training."""

    steps: int | None = setting(None, doc="length", unit="optimiser steps", gt=0)
    epochs: float | None = setting(None, doc="length", unit="passes over the retain set", gt=0)


@component(
    "methods",
    "retrain",
    settings=Retrain,
    source="exact unlearning; EU in Goel et al., arXiv 2402.14015",
    sees=frozenset({"retain"}),
    starts="scratch",
    exact=True,
    together=True,
    work=lambda s, sizes: (samples_trained(s, sizes, sizes.retain),) * 2,
)
def retrain(model: nn.Module, task: Task, settings: Retrain) -> nn.Module:
    """Train a new model on the retain set by the base recipe.

    Undiscovered poison is in the retain set, so this is exact only where all of it was discovered.
    """
    task.fit(model, task.retain, with_length(task.recipe, settings, task, task.retain))
    return model


@component(
    "methods",
    "retrain_control",
    settings=Retrain,
    source="control of Pawelczyk et al., arXiv 2406.17216, hypothesis 1",
    sees=frozenset({"retain", "forget"}),
    starts="scratch",
    together=True,
    work=lambda s, sizes: (samples_trained(s, sizes, sizes.retain),) * 2,
)
def retrain_control(model: nn.Module, task: Task, settings: Retrain) -> nn.Module:
    """Train a new model without as many random samples as ``retrain`` leaves out.

    The forget set stays; in its place goes a uniform draw from the retain set, undiscovered poison
    included. What ``retrain`` changes beyond this is due to which samples are forgotten.

    Raises:
        HarnessError: the retain set is not larger than the forget set.
    """
    retain, count = task.retain, len(task.forget)
    if len(retain) <= count:
        raise HarnessError(
            f"a control without {count} random samples needs more to retain; found {len(retain)}"
        )
    kept = torch.randperm(len(retain), generator=task.generator("control"))[count:].sort().values
    pool = retain.subset(kept.to(task.device)).joined(task.forget)
    task.fit(model, pool, with_length(task.recipe, settings, task, pool))
    return model


@frozen
class Finetune:
    """Settings of ``finetune``; what is left out is as in the base training."""

    steps: int | None = setting(None, doc="length", unit="optimiser steps", gt=0)
    epochs: float | None = setting(None, doc="length", unit="passes over the retain set", gt=0)
    lr: float | None = setting(None, doc="peak learning rate", gt=0)
    batch_size: int | None = setting(None, doc="of one step", unit="samples", gt=0, later=True)
    optimizer: Use | None = use("optimizers", None, doc="the optimiser", later=True)
    schedule: Use | None = use("schedules", None, doc="the learning-rate schedule", later=True)
    class_weights: Literal["none", "balanced"] | None = setting(
        None, doc="weight of a class in the loss", later=True
    )
    augment: bool = setting(True, doc="augment batches as the spec's data say", later=True)
    gradient_noise: float | None = setting(
        None, doc="variance of Gaussian noise added to each gradient (NGD)", gt=0, later=True
    )
    budget: float | None = budget()


def with_own(recipe: Train, settings: Any) -> Train:
    """``recipe`` with what the settings say otherwise, beside rate and length."""
    names = ("batch_size", "optimizer", "schedule", "class_weights")
    own = {name: getattr(settings, name, None) for name in names}
    return attrs.evolve(recipe, **{k: value for k, value in own.items() if value is not None})


def noise_on_gradients(task: Task, variance: float) -> Callable[[nn.Module, int], None]:
    """Adds N(0, ``variance``) to every gradient. Each step draws from a generator of its own, on
    the task's device, so that a training which was cut off goes on exactly."""

    def add(model: nn.Module, step: int) -> None:
        seed = task.generator(f"gradient noise {step}").initial_seed()
        draws = torch.Generator(task.device).manual_seed(seed)
        for weight in model.parameters():
            if weight.grad is not None:
                noise = torch.randn(weight.shape, generator=draws, device=task.device)
                weight.grad.add_(noise, alpha=variance**0.5)

    return add


@component(
    "methods",
    "finetune",
    settings=Finetune,
    source="catastrophic forgetting, CF in Goel et al., arXiv 2402.14015; GD, and with gradient "
    "noise NGD (Chourasia and Shah, ICML 2023), in arXiv 2406.17216",
    sees=frozenset({"retain", "original weights"}),
    together=True,
    within=within,
    work=lambda s, sizes: (samples_trained(s, sizes, sizes.retain, batch_size=s.batch_size),) * 2,
)
def finetune(model: nn.Module, task: Task, settings: Finetune) -> nn.Module:
    """Go on training the base model, on the retain set only.

    With settings of its own for all of it, this is the fine-tuning of the NeurIPS 2023 challenge:
    SGD, a cosine over epochs, no class weights, no augmentation. With gradient noise, an optimiser
    steps by g + N(0, variance * I), g being the gradient of the batch after clipping.
    """
    train = with_length(with_own(task.recipe, settings), settings, task, task.retain)
    variance = settings.gradient_noise
    noise = None if variance is None else noise_on_gradients(task, variance)
    pool = task.retain.augmented(settings.augment)
    task.fit(model, pool, with_lr(train, settings.lr), before_step=noise)
    return model
