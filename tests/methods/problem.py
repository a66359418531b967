"""A small unlearning problem on digits that the tests of methods share."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from harness.components import NoSettings, get
from harness.data.datasets.digits import load
from harness.data.pool import Pool
from harness.data.types import DataRoot, Split
from harness.methods.task import Task
from harness.spec.blocks import Train
from harness.spec.structure import structure_block, structure_use
from harness.training.seeding import seeded_build
from harness.training.watch import Unwatched

DIGITS = load(NoSettings(), DataRoot(None, offline=True))
SPLIT = Split(DIGITS.train.inputs[:96], DIGITS.train.targets[:96])
EVERYTHING = frozenset({"retain", "forget", "validation", "original weights"})
RECIPE: Train = structure_block(
    Train, {"steps": 6, "batch_size": 16, "optimizer": {"name": "sgd", "lr": 0.1}}
)


def pool(rows: torch.Tensor) -> Pool:
    return Pool(SPLIT, rows, encoding=DIGITS.encoding)


def build(seed: str, hidden: int = 12) -> torch.nn.Module:
    use = structure_use("models", {"name": "mlp", "hidden": [hidden]})
    return seeded_build(
        lambda: get("models", "mlp").function(use.settings, DIGITS.encoding, 10), seed
    )


def make_task(
    prepared: Mapping[tuple[str, ...], Mapping[str, torch.Tensor]] | None = None,
    sees: frozenset[str] = EVERYTHING,
    watch: Unwatched | None = None,
    slot: object = None,
) -> Task:
    return Task(
        method="test",
        sees=sees,
        pools={
            "retain": pool(torch.arange(24, 96)),
            "forget": pool(torch.arange(24)),
            "validation": pool(torch.arange(10)),
        },
        original=lambda: build("base"),
        build=build,
        recipe=RECIPE,
        classes=10,
        device=torch.device("cpu"),
        seed="stage",
        watch=watch or Unwatched(),
        slot=slot,
        prepared=prepared,
    )


def run(name: str, task: Task, model: torch.nn.Module | None = None, **settings: object):  # type: ignore[no-untyped-def]
    use = structure_use("methods", {"name": name, **settings})
    return get("methods", name).function(model or build("base"), task, use.settings)


def everything(subset: Pool) -> tuple[torch.Tensor, torch.Tensor]:
    [batch] = subset.ordered(1000)
    return batch.x, batch.y
