"""The splits that metrics read, each a pool that is made when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
        "validation": shared(
            "validation", lambda: material.clean(dataset.train, material.validation_rows)
        ),
        "retain": lambda: material.pool(material.retain, cell.data.augment),
        "forget": lambda: material.pool(material.forget, cell.data.augment),
        "corrupted_clean": shared(
            "corrupted_clean", lambda: material.clean(dataset.train, material.corruption.rows)
        ),
    }
    if material.trigger is not None:
        makers |= {name: shared(name, make) for name, make in _triggered(stage, material).items()}
    return Lazily(makers)


def _triggered(stage: Stage, material: Material) -> dict[str, Callable[[], Pool]]:
    triggered, rows = material.triggered, material.corruption.rows
    dataset = material.dataset
    every = torch.arange(len(dataset.test.targets))
    anyone = material.dataset_rows
    order = torch.randperm(len(anyone), generator=generator(data_seed(stage.cell), "shuffled"))
    anyones = anyone[order[: len(rows)]]
    return {
        "test_triggered": lambda: triggered(dataset.test, every),
        "validation_triggered": lambda: triggered(dataset.train, material.validation_rows),
        "corrupted_triggered": lambda: triggered(dataset.train, rows),
        "shuffled_triggered": lambda: triggered(dataset.train, anyones),
    }
