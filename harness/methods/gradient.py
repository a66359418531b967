"""Descent on what stays, ascent on what goes."""

from __future__ import annotations

from typing import Any

import attrs
from attrs import frozen

from harness.components import component, setting
from harness.data.pool import Batch, Pool
from harness.lazy import F, nn, torch
from harness.methods.length import budget, passes, samples_trained, with_length, within
from harness.methods.task import Task
from harness.spec.blocks import Train, Use, use
from harness.spec.structure import structure_use
from harness.training.parameters import with_lr


def short_recipe(task: Task, settings: Any, *pools: Pool) -> Train:
    """The base recipe at a constant rate, keeping the last weights, for as long as the settings
    say: one pass where they say nothing. A step takes a batch of each of the ``pools``."""
    short = with_lr(
        task.recipe,
        settings.lr,
        schedule=structure_use("schedules", "constant"),
        checkpoint="last",
        extra_step=False,
        ema=None,
    )
    return with_length(short, passes(settings), task, *pools)


@frozen
class GradientAscent:
    """Settings of ``gradient_ascent``. ``steps`` goes before ``epochs``."""

    steps: int | None = setting(None, doc="length", unit="optimiser steps", gt=0)
    epochs: float | None = setting(
        None, doc="length; 1 when none is given", unit="passes over the forget set", gt=0
    )
    lr: float = setting(1e-3, doc="learning rate", gt=0)
    momentum_free: bool = setting(
        True, doc="plain SGD without momentum and weight decay, instead of the recipe's optimiser"
    )
    optimizer: Use | None = use(
        "optimizers", None, doc="the optimiser, at the rate lr; before momentum_free", later=True
    )
    budget: float | None = budget()


@component(
    "methods",
    "gradient_ascent",
    settings=GradientAscent,
    source="Graves et al. AAAI 2021; GA in arXiv 2406.17216",
    sees=frozenset({"forget", "original weights"}),
    within=within,
    same_as=passes,
    work=lambda s, sizes: (samples_trained(s, sizes, sizes.forget),) * 2,
)
def gradient_ascent(model: nn.Module, task: Task, settings: GradientAscent) -> nn.Module:
    """theta <- theta + lr * grad of the mean cross-entropy on the forget set."""
    train = short_recipe(task, settings, task.forget)
    own = settings.optimizer
    if own is None and settings.momentum_free:
        own = structure_use("optimizers", {"name": "sgd", "momentum": 0.0, "weight_decay": 0.0})
    if own is not None:
        train = with_lr(attrs.evolve(train, optimizer=own), settings.lr)

    def ascent(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        return -F.cross_entropy(logits.float(), batch.y)

    task.fit(model, task.forget, train, ascent)
    return model


@frozen
class NegativeGradient:
    """Settings of ``negative_gradient``. ``steps`` goes before ``epochs``."""

    steps: int | None = setting(None, doc="length", unit="optimiser steps", gt=0)
    epochs: float | None = setting(
        None, doc="length; 1 when none is given", unit="passes over the retain set", gt=0
    )
    lr: float = setting(1e-3, doc="learning rate", gt=0)
    alpha: float = setting(
        0.95, doc="weight of the retain loss; 1 - alpha of the forget loss", ge=0, le=1
    )
    budget: float | None = budget()


@component(
    "methods",
    "negative_gradient",
    settings=NegativeGradient,
    source="NegGrad+, Kurmanji et al. NeurIPS 2023 (arXiv 2302.09880), section 4",
    sees=frozenset({"retain", "forget", "original weights"}),
    within=within,
    same_as=passes,
    work=lambda s, sizes: (samples_trained(s, sizes, sizes.retain, times=2),) * 2,
)
def negative_gradient(model: nn.Module, task: Task, settings: NegativeGradient) -> nn.Module:
    """Minimise alpha * L(retain batch) - (1 - alpha) * L(forget batch), batch by batch."""
    both = (task.retain, task.forget)
    train = short_recipe(task, settings, *(both if settings.alpha < 1 else both[:1]))
    forget = task.forget.forever(train.batch_size, task.generator("forget batches"))

    def loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        retained = F.cross_entropy(logits.float(), batch.y)
        if settings.alpha == 1:
            return retained
        other = next(forget)
        task.watch.meter.forward(len(other.y))
        task.watch.meter.backward(len(other.y))
        forgotten = F.cross_entropy(model(other.x).float(), other.y)
        return settings.alpha * retained - (1 - settings.alpha) * forgotten

    task.fit(model, task.retain, train, loss, resumable=False)
    return model


@frozen
class RandomLabels:
    """Settings of ``random_labels``. ``steps`` goes before ``epochs``."""

    steps: int | None = setting(None, doc="length", unit="optimiser steps", gt=0)
    epochs: float | None = setting(
        None, doc="length; 1 when none is given", unit="passes over the data", gt=0
    )
    lr: float = setting(1e-2, doc="learning rate", gt=0)
    with_retain: bool = setting(True, doc="train on the retain set too, with its own labels")
    budget: float | None = budget()


@component(
    "methods",
    "random_labels",
    settings=RandomLabels,
    source="Golatkar et al. CVPR 2020; amnesiac unlearning, Graves et al. AAAI 2021",
    sees=frozenset({"retain", "forget", "original weights"}),
    within=within,
    same_as=passes,
    work=lambda s, sizes: (
        (samples_trained(s, sizes, sizes.forget + (sizes.retain if s.with_retain else 0)),) * 2
    ),
)
def random_labels(model: nn.Module, task: Task, settings: RandomLabels) -> nn.Module:
    """Train on the forget set with labels drawn uniformly from the other classes."""
    forget = task.forget
    shift = torch.randint(1, task.classes, (len(forget),), generator=task.generator("labels"))
    pool = forget.with_targets((forget.targets.cpu() + shift) % task.classes)
    if settings.with_retain:
        pool = task.retain.joined(pool)
    task.fit(model, pool, short_recipe(task, settings, pool))
    return model
