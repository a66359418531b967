"""``unlearn``: what one candidate of a method makes of the base model, or of a new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.components import get
from harness.errors import HarnessError
from harness.lazy import torch
from harness.plan.cost import sizes_of
from harness.plan.kinds import Kind, Samples
from harness.plan.stage import Cell, Stage
from harness.spec.blocks import Use
from harness.stages.fitting import weight_faults, weights
from harness.stages.problem import ROLES, prepared_keys, task_of
from harness.stages.schemas import FIT, METER
from harness.stages.watch import StageWatch
from harness.stages.world import Computed, World
from harness.store.records import KEY, NUMBER, every, listed, optional
from harness.training.loop import steps_of


def _hashes(cell: Cell, uses: tuple[Use, ...], detail: Mapping[str, Any]) -> tuple[Any, ...]:
    """A method that looks at neither part of the data is the same for all forget sets; only one
    that starts from scratch reads the recipe itself."""
    traits = get("methods", uses[0].name).traits
    forget = "" if {"retain", "forget"}.isdisjoint(traits.sees) else cell.forget
    recipe = (cell.data.augment, cell.model, cell.train) if traits.starts == "scratch" else ()
    return uses[0], forget, *recipe, str(cell.seeds.unlearn)


def _samples(stage: Stage) -> Samples:
    use = stage.uses[0]
    return Samples(*get("methods", use.name).traits.work(use.settings, sizes_of(stage.cell)))


def _run(stage: Stage, world: World, watch: StageWatch, slot: Any) -> Computed:
    task = task_of(stage, world, watch, slot)
    use = stage.uses[0]
    component = get("methods", use.name)
    _limit(stage, world, watch)
    if component.traits.starts == "scratch":
        model = task.fresh("model")
    else:
        dataset = world.material(stage).dataset
        model = world.load_model(stage.cell, dataset, "train", stage.input("base"))
    model = component.function(model, task, use.settings).eval()
    found = weights(model)
    for name, value in found.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise HarnessError(f"{use.name} diverged: {name} is not finite; lower its lr")
    record: dict[str, Any] = {"meter": watch.meter.as_dict(), "prepared": prepared_keys(stage)}
    record["fits"] = [fitted.as_dict() for fitted in task.fitted]
    return {**record, "facts": task.facts, "series": task.series}, found


def _limit(stage: Stage, world: World, watch: StageWatch) -> None:
    """Enforce ``max_cost``: a share of the base training, in forward equivalents."""
    share = stage.detail["max_cost"]
    if share is None:
        return
    recipe, rows = stage.cell.train, len(world.material(stage).train_rows)
    steps, _ = steps_of(recipe, rows)
    samples = steps * recipe.batch_size if recipe.steps is not None else rows * (recipe.epochs or 0)
    watch.limit = share * 3 * samples
    watch.limit_text = f"max_cost {share} of the base training"


KIND = Kind(
    name="unlearn",
    rank=5,
    revision=2,
    roles=ROLES,
    hashes=_hashes,
    leaves="tensors",
    weights=True,
    faults=weight_faults,
    record={
        "meter": METER,
        "prepared": listed(KEY),
        "series": every(listed(NUMBER)),
        "facts": every(NUMBER),
        "fits": optional(listed(FIT)),
    },
    samples=_samples,
    published="chosen",
    run=_run,
)
