"""The ends of the scale: do nothing, or train again without the forget set."""

from __future__ import annotations

from typing import Any

import attrs
from attrs import frozen

from harness.components import NoSettings, component, setting
from harness.lazy import nn
from harness.methods.task import Task
from harness.spec.blocks import Train
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


@frozen
class Finetune:
    """Settings of ``finetune``; what is left out is as in the base training."""

    steps: int | None = setting(None, doc="length", unit="optimiser steps", gt=0)
    epochs: float | None = setting(None, doc="length", unit="passes over the retain set", gt=0)
    lr: float | None = setting(None, doc="peak learning rate", gt=0)


@component(
    "methods",
    "finetune",
    settings=Finetune,
    source="catastrophic forgetting, CF in Goel et al., arXiv 2402.14015",
    sees=frozenset({"retain", "original weights"}),
    together=True,
    work=lambda s, sizes: (samples_trained(s, sizes, sizes.retain),) * 2,
)
def finetune(model: nn.Module, task: Task, settings: Finetune) -> nn.Module:
    """Go on training the base model, on the retain set only."""
    task.fit(model, task.retain, with_lr(length(settings, task.recipe), settings.lr))
    return model
