"""The splits that metrics read, each a pool that is made when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from harness.data.pool import Pool
from harness.lazy import torch
from harness.plan.stage import Stage
from harness.stages.material import Material, data_seed
from harness.stages.world import Lazily, World
from harness.training.seeding import generator


def splits_of(stage: Stage, world: World) -> Mapping[str, Pool]:
    """Every split of the stage's cell by name (``harness.metrics.evidence`` says what they are)."""
    cell, material, corrupt = stage.cell, world.material(stage), stage.input("corrupt")
    dataset = material.dataset

    def shared(name: str, make: Callable[[], Any]) -> Callable[[], Any]:
        """Splits that do not depend on what was discovered are built once for many models."""
        return lambda: world.remember(("pool", name, corrupt), make)

    makers = {
        "test": shared("test", lambda: material.clean(dataset.test)),
        "validation": shared("validation", lambda: material.clean(*material.held_out)),
        "train": shared(
            "train", lambda: material.pool(material.train_rows, cell.data.augmentations)
        ),
        "train_clean": shared(
            "train_clean", lambda: material.clean(dataset.train, material.dataset_rows)
        ),
        "retain": lambda: material.pool(material.retain, cell.data.augmentations),
        "forget": lambda: material.pool(material.forget, cell.data.augmentations),
        "corrupted_clean": shared(
            "corrupted_clean", lambda: material.clean(dataset.train, material.corruption.rows)
        ),
    }
    if material.trigger is not None:
        makers |= {name: shared(name, make) for name, make in _triggered(stage, material).items()}
    return Lazily(_Sampled(makers, partial(_sample_of_retain, stage, material)))


class _Sampled(dict[str, Callable[[], Any]]):
    """``retain:500`` beside what there is: that many of the retain set."""

    def __init__(self, makers: Mapping[str, Any], sample: Callable[[int], Any]) -> None:
        super().__init__(makers)
        self._sample = sample

    def __missing__(self, name: str) -> Callable[[], Any]:
        split, _, count = name.partition(":")
        if split != "retain" or not count.isdecimal():
            raise KeyError(name)
        return partial(self._sample, int(count))


def _sample_of_retain(stage: Stage, material: Material, count: int) -> Pool:
    """The same samples for all models of one data seed; all of them where there are no more."""
    draws = generator(data_seed(stage.cell), "retain sample")
    chosen = torch.randperm(len(material.retain), generator=draws)[:count].sort().values
    return material.pool(material.retain[chosen], stage.cell.data.augmentations)


def _triggered(stage: Stage, material: Material) -> dict[str, Callable[[], Pool]]:
    triggered, rows = material.triggered, material.corruption.rows
    dataset = material.dataset
    every = torch.arange(len(dataset.test.targets))
    anyone = material.dataset_rows
    order = torch.randperm(len(anyone), generator=generator(data_seed(stage.cell), "shuffled"))
    anyones = anyone[order[: len(rows)]]
    return {
        "test_triggered": lambda: triggered(dataset.test, every),
        "validation_triggered": lambda: triggered(*material.held_out),
        "corrupted_triggered": lambda: triggered(dataset.train, rows),
        "shuffled_triggered": lambda: triggered(dataset.train, anyones),
    }
