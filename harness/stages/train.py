"""``train``: a model on the training data of a cell, as corrupted as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from harness.components import get
from harness.lazy import torch
from harness.plan.cost import trained_samples
from harness.plan.kinds import Kind, Samples
from harness.plan.stage import Cell, Stage
from harness.spec.blocks import Use
from harness.stages.fitting import (
    SNAPSHOT,
    evaluation,
    finite_weights,
    learned_from,
    use_threads,
    weight_faults,
)
from harness.stages.schemas import FIT, METER
from harness.stages.watch import StageWatch
from harness.stages.world import Computed, World
from harness.training.loop import fit
from harness.training.seeding import generator


def _draws(cell: Cell, uses: tuple[Use, ...], detail: Mapping[str, Any]) -> tuple[Any, ...]:
    """A layout in memory moves bits; it meets the same batches and first weights."""
    recipe = attrs.evolve(learned_from(cell.train), memory_format="contiguous")
    return cell.data.augmentations, cell.model, recipe, str(cell.seeds.model)


def _hashes(cell: Cell, uses: tuple[Use, ...], detail: Mapping[str, Any]) -> tuple[Any, ...]:
    """Which snapshots are kept changes the artifact, and none of its numbers."""
    kept = [f"snapshots {list(detail['snapshots'])}"] if detail["snapshots"] else []
    layout = cell.train.memory_format
    laid = [layout] if layout != "contiguous" else []
    return (*_draws(cell, uses, detail), *laid, *kept)


def _samples(stage: Stage) -> Samples:
    trained, adversary = trained_samples(stage.cell), stage.cell.train.adversary
    if adversary is None:
        return Samples(trained, trained)
    forward, backward = get("adversaries", adversary.name).traits.work(adversary.settings)
    return Samples(trained * (1 + forward), trained * (1 + backward))


def _run(stage: Stage, world: World, watch: StageWatch, slot: Any) -> Computed:
    cell, material = stage.cell, world.material(stage)
    use_threads(cell)
    model = world.build(cell, material.dataset, stage.draws)
    kept: dict[str, torch.Tensor] = {}
    fitted = fit(
        model,
        material.pool(material.train_rows, cell.data.augmentations),
        cell.train,
        generator=lambda purpose: generator(stage.draws, purpose),
        evaluate=evaluation(cell, material),
        watch=watch,
        slot=slot,
        snapshots=stage.detail["snapshots"],
    )
    for step, values in fitted.snapshots.items():
        kept |= {f"{name}{SNAPSHOT}{step}": value for name, value in values.items()}
    record = {"meter": watch.meter.as_dict(), "fit": fitted.as_dict()}
    return record, {**finite_weights(model), **kept}


KIND = Kind(
    name="train",
    rank=3,
    revision=2,
    roles={"features": "features", "corrupt": "corrupt"},
    hashes=_hashes,
    draws=_draws,
    leaves="tensors",
    weights=True,
    faults=weight_faults,
    record={"meter": METER, "fit": FIT},
    samples=_samples,
    published="whole",
    together=lambda stage: True,
    run=_run,
)
