"""Recipes of methods that were published with one of their own, whatever the base model's is."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from harness.components import setting
from harness.data.pool import Pool
from harness.spec.blocks import Train
from harness.spec.structure import structure_use

COSINE = {"name": "cosine", "per": "epoch"}


@frozen
class OwnSGD:
    """Settings that such methods share beside ``lr`` and ``epochs``."""

    momentum: float = setting(0.9, doc="momentum of SGD", ge=0, lt=1)
    weight_decay: float = setting(5e-4, doc="L2 penalty of all weights", ge=0)
    batch_size: int = setting(64, doc="samples of one step", unit="samples", gt=0)
    augment: bool = setting(False, doc="augment the samples as the base training did")

    def shown(self, pool: Pool) -> Pool:
        """``pool`` as the method trains on it."""
        return pool.augmented(self.augment)


def own_recipe(
    settings: Any,
    base: Train,
    *,
    lr: float | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    schedule: Any = "constant",
) -> Train:
    """SGD by ``settings`` (an ``OwnSGD`` with ``lr`` and ``epochs``), keeping the last weights.

    What is given beside it goes before the settings; ``schedule`` is written as in a spec. Of the
    ``base`` recipe only the arithmetic is taken.
    """
    sgd = {
        "name": "sgd",
        "lr": settings.lr if lr is None else lr,
        "momentum": settings.momentum,
        "weight_decay": settings.weight_decay,
    }
    return Train(
        steps=steps,
        epochs=None if steps else epochs or settings.epochs,
        batch_size=batch_size or settings.batch_size,
        optimizer=structure_use("optimizers", sgd),
        schedule=structure_use("schedules", schedule),
        precision=base.precision,
    )
