"""How long a method trains: as its settings say, or on a share of the base training's samples.

The share is what a spec's ``unlearning: {budget: ...}`` allows. It counts the samples of batches
that are trained on, forward and backward: both batches of a step on two sets, and no forward pass
of a teacher, which ``cost`` measures.
"""

from __future__ import annotations

import math
from typing import Any

import attrs

from harness.components import setting
from harness.data.pool import Pool
from harness.methods.task import Task
from harness.spec.blocks import Train
from harness.training.length import steps_within


def budget() -> Any:
    """The setting ``budget`` of a method that declares ``within`` as its trait."""
    return setting(
        None,
        doc="length: samples trained on as a share of those of the base training, at least one "
        "step; that of the spec's unlearning block where no length is given",
        gt=0,
        le=1,
        later=True,
    )


def within(settings: Any, share: float) -> Any:
    """``settings`` with the budget ``share``, unless they say a length (trait ``within``)."""
    given = _has_own(settings) or settings.budget is not None
    return settings if given else attrs.evolve(settings, budget=share)


def passes(settings: Any, default: float = 1) -> Any:
    """``settings`` with ``default`` epochs where they say neither epochs nor a budget."""
    given = settings.epochs is not None or settings.budget is not None
    return settings if given else attrs.evolve(settings, epochs=default)


def _has_own(settings: Any) -> bool:
    return any(getattr(settings, name, None) is not None for name in ("steps", "epochs"))


def _share(settings: Any) -> float | None:
    """The budget that counts: steps and epochs go before it."""
    return None if _has_own(settings) else getattr(settings, "budget", None)


def allowance(settings: Any, task: Task) -> float:
    """The samples that may be trained on; infinite where no budget says so."""
    share = _share(settings)
    return math.inf if share is None else round(share * task.base_samples, 6)


def with_length(train: Train, settings: Any, task: Task, *pools: Pool) -> Train:
    """``train`` as long as the settings say, where they do; a step takes a batch of each pool."""
    if (allowed := allowance(settings, task)) < math.inf:
        steps = steps_within(allowed, train.batch_size, [len(pool) for pool in pools])
        return attrs.evolve(train, steps=steps, epochs=None, extra_step=False)
    if not _has_own(settings):
        return train
    own = getattr(settings, "steps", None)
    return attrs.evolve(train, steps=own, epochs=None if own else settings.epochs)


def samples_trained(
    settings: Any, sizes: Any, pool: int, *, times: int = 1, batch_size: int | None = None
) -> float:
    """An estimate of the samples that a training on ``pool`` samples processes, ``times`` of them
    for each sample of the pool."""
    if (share := _share(settings)) is not None:
        return share * sizes.base_steps * sizes.batch_size
    size = batch_size or sizes.batch_size
    if getattr(settings, "steps", None) is not None:
        return float(times * settings.steps * min(size, pool))
    own = settings.epochs is not None
    return float(times * settings.epochs * pool if own else sizes.base_steps * size)
