"""``prepare``: what the candidates of a method share, computed once on one subset of the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.components import get
from harness.plan.cost import sizes_of
from harness.plan.kinds import Kind, Samples
from harness.plan.stage import Cell, Stage
from harness.spec.blocks import Use
from harness.stages.problem import ROLES, prepared_keys, task_of
from harness.stages.schemas import METER
from harness.stages.watch import StageWatch
from harness.stages.world import Computed, World
from harness.store.records import KEY, listed


def _hashes(cell: Cell, uses: tuple[Use, ...], detail: Mapping[str, Any]) -> tuple[Any, ...]:
    """All of the training data is the same whatever is to be forgotten of it."""
    subset = detail["subset"]
    return uses[0], subset, "" if subset == "train" else cell.forget


def _samples(stage: Stage) -> Samples:
    use = stage.uses[0]
    count = getattr(sizes_of(stage.cell), stage.detail["subset"])
    return Samples(*get("preparations", use.name).traits.work(use.settings, count))


def _run(stage: Stage, world: World, watch: StageWatch, slot: Any) -> Computed:
    task = task_of(stage, world, watch, slot)
    material, data = world.material(stage), stage.cell.data
    subset, use = stage.detail["subset"], stage.uses[0]
    rows = getattr(material, "train_rows" if subset == "train" else subset)
    pool = material.pool(rows, data.augmentations)
    tensors = get("preparations", use.name).function(task.original(), task, use.settings, pool)
    record = {"meter": watch.meter.as_dict(), "prepared": prepared_keys(stage)}
    return record, {k: v.cpu().contiguous() for k, v in tensors.items()}


KIND = Kind(
    name="prepare",
    rank=4,
    revision=2,
    roles=ROLES,
    hashes=_hashes,
    leaves="tensors",
    record={"meter": METER, "prepared": listed(KEY)},
    samples=_samples,
    published="record",
    run=_run,
)
