"""``corrupt``: splits the training data, and does to them what the corruption says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

import attrs

from harness.components import get
from harness.corruptions.checking import checked
from harness.corruptions.pictures import pictures
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption
from harness.data.tokenizing import excerpts
from harness.data.types import Dataset, Split
from harness.lazy import torch
from harness.plan.cost import sizes_of
from harness.plan.kinds import Kind, Samples, Tensors
from harness.plan.stage import Cell, Stage
from harness.spec.blocks import Use
from harness.spec.fit import facts_of
from harness.stages.answers import StageAnswers
from harness.stages.fitting import use_threads
from harness.stages.material import data_seed
from harness.stages.schemas import DATA, METER
from harness.stages.stored_corruption import stored, stored_faults
from harness.stages.watch import StageWatch
from harness.stages.world import Computed, World
from harness.store.records import COUNT, every, listed, optional
from harness.training.seeding import generator

PICTURES = 3  # of corrupted samples, for the report


def _hashes(cell: Cell, uses: tuple[Use, ...], detail: Mapping[str, Any]) -> tuple[Any, ...]:
    data = attrs.evolve(cell.data, augment=(), defences=())
    return data, cell.corruption, str(cell.seeds.data)


def _samples(stage: Stage) -> Samples:
    return Samples(*get("corruptions", stage.uses[0].name).traits.work(
        stage.uses[0].settings, sizes_of(stage.cell)
    ))  # fmt: skip


def _run(stage: Stage, world: World, watch: StageWatch, slot: Any) -> Computed:
    cell = stage.cell
    if any(role.startswith("model:") for role, _ in stage.inputs):
        use_threads(cell)
    dataset = world.dataset_of(stage)
    seed = data_seed(cell)
    count = len(dataset.train.targets)
    order = torch.randperm(count, generator=generator(seed, "validation"))
    held_out = round(count * cell.data.validation)
    validation, rows = order[:held_out].sort().values, order[held_out:].sort().values
    component = get("corruptions", cell.corruption.name)
    task = CorruptionTask(
        corruption=cell.corruption.name,
        rows=rows,
        dataset=dataset,
        seed=seed,
        device=world.device,
        watch=watch,
        slot=slot,
        answers=StageAnswers(stage, world),
    )
    made = component.function(dataset.train, cell.corruption.settings, task)
    corruption = checked(made, task, rule=component.traits.rule is not None)
    tensors = {"train_rows": rows, "validation_rows": validation, **stored(corruption)}
    own = dataset.validation
    held_out = held_out if own is None else len(own.targets)
    sizes = {"train": len(rows), "validation": held_out, "test": len(dataset.test.targets)}
    facts = {"name": cell.data.dataset.name, "digest": dataset.digest, **sizes}
    facts |= {"lossy": True} if dataset.lossy else {}
    if dataset.tokenizer is not None and dataset.tokenizer.written:
        facts["tokenizer"] = sha256(dataset.tokenizer.written.encode()).hexdigest()
    shape = {"shape": list(dataset.train.inputs.shape[1:]), "classes": len(dataset.classes)}
    record: dict[str, Any] = {"data": {**facts, **shape}, "corrupted": len(corruption.rows)}
    if watch.meter.forward_samples:
        record["meter"] = watch.meter.as_dict()
    if corruption.added is not None:
        record["added"] = len(corruption.added.targets)
    record["pictures"] = _pictures(cell, dataset, corruption) if len(corruption.rows) else []
    return record, tensors


def _pictures(cell: Cell, dataset: Dataset, made: Corruption) -> list[dict[str, str]]:
    """Training samples without and with the trigger, unaugmented; of texts the triggered ones.
    Of a corruption without a trigger they are images as they are and as it stores them."""
    traits = get("corruptions", cell.corruption.name).traits
    settings = cell.corruption.settings
    clean = dataset.train.inputs[made.rows[:PICTURES]]
    if traits.trigger is None:
        inputs = made.inputs if made.deltas is None else clean + made.deltas[:PICTURES]
        if inputs is None or dataset.encoding.name != "images":
            return []
        return pictures(clean, inputs[:PICTURES].float().round().clamp(0, 255).byte())
    assert traits.when is not None  # noqa: S101
    trigger = traits.trigger(settings, dataset)
    if dataset.tokenizer is not None:
        return [{"text": text} for text in excerpts(dataset.tokenizer, clean, trigger(clean))]
    if traits.when(settings) == "before":
        return pictures(clean, trigger(clean))
    encoding = dataset.encoding
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (encoding.mean, encoding.std))
    shown = 255 * (trigger((clean / 255 - mean) / std) * std + mean)
    return pictures(clean, shown.round().clamp(0, 255).byte())


def _faults(stage: Stage, record: Mapping[str, Any], found: Tensors) -> Iterator[str]:
    """Against what the data set declares; where it declares no size, against the record's."""
    facts, data = facts_of(stage.cell.data), record["data"]
    sizes = {"train": facts.train, "test": facts.test}
    held_out = 0 if facts.validation != 0 else data["validation"]  # of the training samples
    counts = {"train": data["train"] + held_out, "test": data["test"]}
    for name, size in sizes.items():
        if size is not None and counts[name] != size:
            yield f"they are of {counts[name]:,} {name} samples; there are {size:,}"
    with torch.device("meta"):
        train, test = (
            Split(facts.encoding.stored(count), torch.empty(count)) for count in counts.values()
        )
    declared = Dataset("", train, test, ("",) * facts.classes, facts.encoding, "", data["digest"])
    rule = get("corruptions", stage.uses[0].name).traits.rule is not None
    yield from stored_faults(found, declared, rule=rule)


KIND = Kind(
    name="corrupt",
    rank=2,
    revision=2,
    roles={"features": "features", "model": "train"},
    hashes=_hashes,
    leaves="tensors",
    record={
        "corrupted": COUNT,
        "data": DATA,
        "pictures": listed(every({"type": "string"})),
        "meter": optional(METER),
    },
    samples=_samples,
    published="whole",
    run=_run,
    faults=_faults,
)
