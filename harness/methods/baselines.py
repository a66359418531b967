"""The ends of the scale: do nothing, or train again without the forget set."""

from __future__ import annotations

from typing import Any, Literal

import attrs
from attrs import frozen

from harness.components import NoSettings, component, setting
from harness.errors import HarnessError
from harness.lazy import nn, torch
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


def length(settings: Any, recipe: Train) -> Train:
    """``recipe`` with the settings' steps or epochs, where they give any."""
    if settings.steps is None and settings.epochs is None:
        return recipe
    return attrs.evolve(recipe, steps=settings.steps, epochs=settings.epochs)


def samples_trained(settings: Any, sizes: Any, pool: int) -> float:
    """An estimate of the samples that a training on ``pool`` samples processes."""
    if settings.steps is not None:
        return float(settings.steps * min(sizes.batch_size, pool))
    if settings.epochs is not None:
        return float(settings.epochs * pool)
    return float(sizes.base_steps * sizes.batch_size)


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
    task.fit(model, task.retain, length(settings, task.recipe))
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
    task.fit(model, pool, length(settings, task.recipe))
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


def _finetune_work(settings: Finetune, sizes: Any) -> tuple[float, float]:
    own = attrs.evolve(sizes, batch_size=settings.batch_size or sizes.batch_size)
    return (samples_trained(settings, own, sizes.retain),) * 2


@component(
    "methods",
    "finetune",
    settings=Finetune,
    source="catastrophic forgetting, CF in Goel et al., arXiv 2402.14015",
    sees=frozenset({"retain", "original weights"}),
    together=True,
    work=_finetune_work,
)
def finetune(model: nn.Module, task: Task, settings: Finetune) -> nn.Module:
    """Go on training the base model, on the retain set only.

    With settings of its own for all of it, this is the fine-tuning of the NeurIPS 2023 challenge:
    SGD, a cosine over epochs, no class weights, no augmentation.
    """
    names = ("batch_size", "optimizer", "schedule", "class_weights")
    own = {name: getattr(settings, name) for name in names if getattr(settings, name) is not None}
    train = length(settings, attrs.evolve(task.recipe, **own))
    task.fit(model, task.retain.augmented(settings.augment), with_lr(train, settings.lr))
    return model
