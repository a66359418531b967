"""``unlearn``: what one candidate of a method makes of the base model, or of a new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.components import get
from harness.errors import Diverged, HarnessError
from harness.lazy import nn, torch
from harness.plan.cost import sizes_of
from harness.plan.kinds import Kind, Samples, Tensors
from harness.plan.stage import Cell, Stage
from harness.spec.blocks import Use
from harness.stages.fitting import differing, finite_weights, learned_from, weight_faults
from harness.stages.problem import ROLES, prepared_keys, task_of
from harness.stages.schemas import FIT, METER
from harness.stages.watch import StageWatch
from harness.stages.world import Computed, World
from harness.store.records import KEY, NUMBER, NUMBERS, every, listed, optional
from harness.training.length import length_of


def _hashes(cell: Cell, uses: tuple[Use, ...], detail: Mapping[str, Any]) -> tuple[Any, ...]:
    """A method that looks at neither part of the data is the same for all forget sets; only one
    that starts from scratch reads the recipe itself."""
    traits = get("methods", uses[0].name).traits
    forget = "" if {"retain", "forget"}.isdisjoint(traits.sees) else cell.forget
    recipe: tuple[Any, ...] = ()
    if traits.starts == "scratch":
        recipe = cell.data.augmentations, cell.model, learned_from(cell.train)
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
    given = {k: torch.empty_like(v, device="meta") for k, v in model.state_dict().items()}
    found: dict[str, torch.Tensor] = {}
    left: dict[str, Any] = {"facts": {}, "series": {}}
    try:
        found = finite_weights(
            _checked(use.name, component.function(model, task, use.settings), given)
        )
        left = {"facts": task.facts, "series": task.series}
    except Diverged as diverged:
        left["diverged"] = str(diverged)[:200]
    left["fits"] = [fitted.as_dict() for fitted in task.fitted]
    return {"meter": watch.meter.as_dict(), "prepared": prepared_keys(stage), **left}, found


def _checked(method: str, made: Any, given: Tensors) -> nn.Module:
    """What ``method`` returned. Raises HarnessError unless it is a model with weights like those
    that were ``given``."""
    returned = f"the method {method!r} returned"
    if not isinstance(made, nn.Module):
        raise HarnessError(
            f"{returned} {type(made).__name__}; the unlearned model (an nn.Module) is needed"
        )
    for fault in differing(given, made.state_dict()):
        raise HarnessError(f"{returned} another architecture than it was given: {fault}")
    return made.eval()


def _limit(stage: Stage, world: World, watch: StageWatch) -> None:
    """Enforce ``max_cost``: a share of the base training, in forward equivalents."""
    share = stage.detail["max_cost"]
    if share is None:
        return
    recipe, rows = stage.cell.train, len(world.material(stage).train_rows)
    steps = length_of(recipe, rows).total
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
        "series": every(NUMBERS),
        "facts": every(NUMBER),
        "fits": optional(listed(FIT)),
    },
    samples=_samples,
    published="chosen",
    together=lambda stage: get("methods", stage.uses[0].name).traits.together,
    run=_run,
)
