"""``features``: the vectors that a frozen backbone gives for every sample of a data set, once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from harness.components import get
from harness.data.pool import Pool
from harness.lazy import nn, torch
from harness.plan.kinds import Kind, Samples, Tensors
from harness.plan.stage import Cell, Stage
from harness.spec.blocks import Use
from harness.spec.fit import facts_of
from harness.stages.fitting import differing
from harness.stages.schemas import METER
from harness.stages.watch import StageWatch
from harness.stages.world import Computed, World
from harness.store.records import TEXT, block
from harness.training.seeding import seeded_build

BATCH = 256


def _hashes(cell: Cell, uses: tuple[Use, ...], detail: Mapping[str, Any]) -> tuple[Any, ...]:
    raw = attrs.evolve(cell.data, augment=(), features=None, validation=0.0)
    return raw, uses[0]


def _samples(stage: Stage) -> Samples:
    facts = facts_of(attrs.evolve(stage.cell.data, features=None))
    return Samples((facts.train or 0) + (facts.test or 0))


def _run(stage: Stage, world: World, watch: StageWatch, slot: Any) -> Computed:
    dataset = world.dataset(stage.cell.data)
    backbone = stage.uses[0]
    build = get("models", backbone.name).function
    encoding = dataset.encoding
    model = seeded_build(lambda: build(backbone.settings, encoding, 0), stage.draws)
    model = world.on_device(model).eval()
    total = len(dataset.train.targets) + len(dataset.test.targets)
    tensors = {}
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        rows = torch.arange(len(split.targets))
        pool = Pool(split, rows, encoding=encoding, device=world.device)
        tensors[name] = _vectors(model, pool, watch, total)
    record = {"meter": watch.meter.as_dict(), "data": {"digest": dataset.digest}}
    return record, tensors


def _vectors(model: nn.Module, pool: Pool, watch: StageWatch, total: int) -> torch.Tensor:
    """float32 [n, size] on the CPU."""
    found = []
    with torch.inference_mode():
        for batch in pool.ordered(BATCH):
            found.append(model(batch.x).float().cpu())
            watch.meter.forward(len(batch.y))
            watch.step(watch.meter.forward_samples, total, None)
    return torch.cat(found)


def _faults(stage: Stage, record: Mapping[str, Any], found: Tensors) -> Iterator[str]:
    facts = facts_of(stage.cell.data)
    with torch.device("meta"):
        sizes = {"train": facts.train, "test": facts.test}
        expected = {
            name: facts.encoding.stored(len(found.get(name, ())) if size is None else size)
            for name, size in sizes.items()
        }
    yield from differing(expected, found)


KIND = Kind(
    name="features",
    rank=1,
    revision=1,
    roles={},
    hashes=_hashes,
    leaves="tensors",
    record={"meter": METER, "data": block(digest=TEXT)},
    samples=_samples,
    published="whole",
    run=_run,
    faults=_faults,
)
