"""The unlearning problem of a stage, as a method or preparation sees it."""

from __future__ import annotations

from typing import Any

from harness.components import get
from harness.methods.task import Task
from harness.plan.stage import Stage
from harness.stages.answers import StageAnswers
from harness.stages.fitting import evaluation, use_threads
from harness.stages.watch import StageWatch
from harness.stages.world import Lazily, World
from harness.training.length import length_of, samples_of

# The first words of the roles that an unlearning problem has, and the kinds they are of.
ROLES = {
    "features": "features",
    "corrupt": "corrupt",
    "base": "train",
    "prepare": "prepare",
    "model": "train",
}
PREPARED = "prepare:"  # begins the role of what was prepared for a stage


def task_of(stage: Stage, world: World, watch: StageWatch, slot: Any) -> Task:
    """The task of the stage's one component."""
    cell, material = stage.cell, world.material(stage)
    use_threads(cell)
    rows = len(material.train_rows)
    steps = length_of(cell.train, rows).total
    use = stage.uses[0]
    inputs = dict(stage.inputs)
    prepared = {
        tuple(role.split(":")[1:]): world.tensors("prepare", key)
        for role, key in inputs.items()
        if role.startswith(PREPARED)
    }
    pools = Lazily(
        {
            "retain": lambda: material.pool(material.retain, cell.data.augmentations),
            "forget": lambda: material.pool(material.forget, cell.data.augmentations),
            "validation": lambda: material.clean(*material.held_out),
        }
    )
    return Task(
        method=use.name,
        pools=pools,
        sees=get(use.kind, use.name).traits.sees,
        original=lambda: world.load_model(cell, material.dataset, "train", inputs["base"]),
        build=lambda seed: world.build(cell, material.dataset, seed),
        evaluate=evaluation(cell, material),
        recipe=cell.train,
        base_samples=samples_of(steps, rows, cell.train.batch_size),
        classes=len(material.dataset.classes),
        device=world.device,
        seed=stage.draws,
        watch=watch,
        slot=slot,
        prepared=prepared,
        answers=StageAnswers(stage, world),
    )


def prepared_keys(stage: Stage) -> list[str]:
    """The keys of the stages that prepared something for ``stage``."""
    return [key for role, key in stage.inputs if role.startswith(PREPARED)]
