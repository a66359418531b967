"""``features``: the vectors that a frozen backbone gives for every sample of a data set, once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import attrs

from harness.components import get
from harness.components.facts import Weights
from harness.errors import Interrupted
from harness.lazy import nn, torch
from harness.plan.cost import flops_per_sample
from harness.plan.kinds import Kind, Samples, Tensors
from harness.plan.stage import Cell, Stage
from harness.spec.blocks import Use
from harness.spec.fit import facts_of
from harness.stages.fitting import differing, weights
from harness.stages.schemas import METER
from harness.stages.watch import StageWatch
from harness.stages.world import Computed, World
from harness.store.records import TEXT, block, optional
from harness.training.seeding import seeded_build
from harness.training.threads import threads_for

BATCH = 256


def _draws(cell: Cell, uses: tuple[Use, ...], detail: Mapping[str, Any]) -> tuple[Any, ...]:
    """No seed of a spec: two repetitions look at the data through the same eyes."""
    raw = attrs.evolve(cell.data, augment=(), defences=(), features=None, validation=0.0)
    return raw, uses[0]


def _hashes(cell: Cell, uses: tuple[Use, ...], detail: Mapping[str, Any]) -> tuple[Any, ...]:
    known = _weights_of(uses[0])
    return *_draws(cell, uses, detail), *([] if known is None else [known.pins])


def _weights_of(backbone: Use) -> Weights | None:
    found: Weights | None = get("models", backbone.name).traits.weights(backbone.settings)
    return found


def _samples(stage: Stage) -> Samples:
    facts = facts_of(attrs.evolve(stage.cell.data, features=None))
    return Samples((facts.train or 0) + (facts.test or 0))


def _run(stage: Stage, world: World, watch: StageWatch, slot: Any) -> Computed:
    dataset, backbone = world.dataset(stage.cell.data), stage.uses[0]
    build, encoding = get("models", backbone.name).function, dataset.encoding
    torch.set_num_threads(threads_for(BATCH * flops_per_sample(backbone, encoding, 0)))
    model = seeded_build(lambda: build(backbone.settings, encoding, 0), stage.draws)
    model = world.on_device(model, "channels_last").eval()
    splits = {"train": dataset.train.inputs, "test": dataset.test.inputs}
    total = sum(map(len, splits.values()))

    def vectors(stored: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = model(encoding.batch(stored.to(world.device))).float().cpu()
        return found

    def count(samples: int) -> None:
        watch.meter.forward(samples)
        watch.step(watch.meter.forward_samples, total, None)

    tensors = {}
    for name, inputs in splits.items():
        with torch.inference_mode():
            parts = list(_parts(inputs, vectors, count, partial(_slot, slot, name)))
        tensors[name] = torch.cat(parts)
    record: dict[str, Any] = {"meter": watch.meter.as_dict(), "data": {"digest": dataset.digest}}
    known = _weights_of(backbone)
    origin = {} if known is None else {"source": known.source, "licence": known.licence}
    record["weights"] = {"digest": _digest(model), **origin}
    return record, tensors


def _slot(slot: Any, split: str, number: int) -> Any:
    return slot.named(f"{split}-{number}")


def _parts(
    inputs: torch.Tensor,
    vectors: Callable[[torch.Tensor], torch.Tensor],
    count: Callable[[int], None],
    slot: Callable[[int], Any],
) -> Iterator[torch.Tensor]:
    """float32 [n, size] in parts: those that an interrupted stage has saved, then the rest.

    A part is saved once, in the slot of its number, when it is time or the stage is stopped.
    """
    done = number = 0
    while (saved := slot(number).load()) is not None:
        count(len(saved[0]["vectors"]))
        yield saved[0]["vectors"]
        done, number = done + len(saved[0]["vectors"]), number + 1
    part, found = slot(number), list[torch.Tensor]()

    def save() -> None:
        part.save({"vectors": torch.cat(found)}, {})

    for start in range(done, len(inputs), BATCH):
        batch = inputs[start : start + BATCH]
        found.append(vectors(batch))
        try:
            count(len(batch))
        except Interrupted:
            save()
            raise
        if part.due() or start + BATCH >= len(inputs):
            save()
            yield torch.cat(found)
            part, number, found = slot(number + 1), number + 1, []


def _digest(model: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of the weights."""
    sha = hashlib.sha256()
    for name, value in sorted(weights(model).items()):
        sha.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        sha.update(value.numpy().tobytes())
    return sha.hexdigest()


def _faults(stage: Stage, record: Mapping[str, Any], found: Tensors) -> Iterator[str]:
    facts = facts_of(attrs.evolve(stage.cell.data, features=stage.uses[0]))
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
    draws=_draws,
    leaves="tensors",
    record={"meter": METER, "data": block(digest=TEXT), "weights": optional(block(digest=TEXT))},
    samples=_samples,
    published="whole",
    run=_run,
    faults=_faults,
)
