"""``outputs``: the logits of one model on some splits, kept instead of its weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.components import get
from harness.errors import Diverged
from harness.lazy import torch
from harness.plan.cost import sizes_of, split_size
from harness.plan.kinds import Kind, Samples, Tensors, source_kind
from harness.plan.stage import Cell, Stage
from harness.spec.blocks import Use
from harness.spec.fit import facts_of
from harness.stages.clock import spent
from harness.stages.fitting import differing, measured_in, use_threads
from harness.stages.schemas import METER
from harness.stages.splits import splits_of
from harness.stages.watch import StageWatch
from harness.stages.world import Computed, World
from harness.store.records import optional
from harness.training.precision import arithmetic, of_evaluation

BATCH = 512


def _hashes(cell: Cell, uses: tuple[Use, ...], detail: Mapping[str, Any]) -> tuple[Any, ...]:
    splits = detail["splits"]
    whole = {split.partition(":")[0] for split in splits}
    forget = "" if whole.isdisjoint({"retain", "forget"}) else cell.forget
    return list(splits), forget, *measured_in(cell)


def _samples(stage: Stage) -> Samples:
    sizes = sizes_of(stage.cell)
    return Samples(sum(split_size(split, sizes) for split in stage.detail["splits"]))


def _run(stage: Stage, world: World, watch: StageWatch, slot: Any) -> Computed:
    """float32 [n, classes] by split, without augmentation; nothing of a candidate that diverged.
    Raises HarnessError where those of the base model are not finite."""
    role = "unlearned" if "unlearned" in dict(stage.inputs) else "base"
    diverged = world.lost("unlearn", stage.input(role)) if role == "unlearned" else ""
    found: dict[str, torch.Tensor] = {}
    try:
        found = {} if diverged else _computed(stage, role, world, watch)
    except Diverged as lost:
        if role == "base":
            raise
        diverged = str(lost)
    made = world.record(source_kind(stage, role), stage.input(role))
    exact = role == "unlearned" and _exact(made)
    record: dict[str, Any] = {"meter": watch.meter.as_dict(), "exact": exact}
    record["spent"] = spent(made, lambda key: world.record("prepare", key))
    return record | ({"diverged": diverged} if diverged else {}), found


def _exact(record: Mapping[str, Any]) -> bool:
    """Whether the model of an ``unlearn`` stage was trained again."""
    return bool(get("methods", record["stage"]["uses"][0]).traits.exact)


def _computed(stage: Stage, role: str, world: World, watch: StageWatch) -> dict[str, torch.Tensor]:
    use_threads(stage.cell)
    dataset = world.material(stage).dataset
    kind, key = source_kind(stage, role), stage.input(role)
    model = world.load_model(stage.cell, dataset, kind, key)
    pools, precision = splits_of(stage, world), of_evaluation(stage.cell.train)
    found = {}
    for split in stage.detail["splits"]:
        with torch.inference_mode(), arithmetic(world.device.type, precision):
            parts = [model(batch.x).float() for batch in pools[split].ordered(BATCH)]
        logits = torch.cat(parts).cpu()
        if not logits.isfinite().all():
            raise Diverged(f"the model diverged: outputs on {split} are not finite")
        watch.meter.forward(len(logits))
        found[split] = logits.clone()
    return found


def _faults(stage: Stage, record: Mapping[str, Any], found: Tensors) -> Iterator[str]:
    classes = facts_of(stage.cell.data).classes
    splits = stage.detail["splits"]
    expected = {name: torch.empty(len(found.get(name, ())), classes) for name in splits}
    yield from differing(expected, found)


KIND = Kind(
    name="outputs",
    rank=6,
    revision=1,
    roles={
        "features": "features",
        "corrupt": "corrupt",
        "base": "train",
        "unlearned": "unlearn",
    },
    hashes=_hashes,
    leaves="tensors",
    record={"meter": METER, "spent": optional(METER), "exact": optional({"type": "boolean"})},
    samples=_samples,
    published="whole",
    run=_run,
    faults=_faults,
)
