"""What a stage costs before it runs: samples, and FLOPs counted on the meta device."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
from attrs import frozen

from harness.components import get, remembered
from harness.components.contracts import Encoding
from harness.errors import HarnessError
from harness.lazy import torch
from harness.plan.kinds import Samples, kind_of
from harness.plan.stage import Cell, Stage
from harness.spec.blocks import Use
from harness.spec.fit import architecture, facts_of
from harness.training.length import length_of
from harness.training.threads import threads_for


def flops_per_sample(model: Use, encoding: Encoding, classes: int) -> int:
    """Floating-point operations of one forward pass of one sample, multiply and add apart."""
    return sum(flops_by_kind(model, encoding, classes).values())


@remembered(256)
def flops_by_kind(model: Use, encoding: Encoding, classes: int) -> Mapping[str, int]:
    """Those of each kind of operation, by torch's name for it.

    Raises:
        HarnessError: the model cannot be built with these settings.
    """
    from torch.utils.flop_counter import FlopCounterMode

    settings = architecture(model).settings
    try:
        with torch.device("meta"):
            built = get("models", model.name).function(settings, encoding, classes).eval()
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                built(encoding.example())
    except RuntimeError as problem:  # sizes that no tensor has, or that do not fit
        why = str(problem).partition("\n")[0]
        raise HarnessError(f"the model {model.name!r} cannot be built so: {why}") from None
    return {str(kind): int(count) for kind, count in counter.get_flop_counts()["Global"].items()}


@frozen
class Sizes:
    """Numbers of samples that estimates need."""

    train: int
    retain: int
    forget: int
    validation: int
    corrupted: int
    test: int
    base_steps: int
    batch_size: int


def sizes_of(cell: Cell) -> Sizes:
    """The sizes of a cell's sets, from what the data set's component declares."""
    facts = facts_of(cell.data)
    total = facts.train or 0
    train = total - round(total * cell.data.validation)
    bad = get("corruptions", cell.corruption.name).traits.amount(cell.corruption.settings, train)
    size = get("forget_sets", cell.forget.name).traits.size
    forget = size(cell.forget.settings, train, bad, facts.classes)
    steps, test = length_of(cell.train, train).total, facts.test or 0
    held = facts.validation or total - train
    return Sizes(train, train - forget, forget, held, bad, test, steps, cell.train.batch_size)


def split_size(split: str, sizes: Sizes) -> int:
    """Samples of a split that metrics read: ``test_triggered`` are as many as ``test``, and
    ``retain:500`` at most 500."""
    whole, _, count = split.partition(":")
    name = whole.partition("_")[0]
    size = int(getattr(sizes, "corrupted" if name == "shuffled" else name))
    return min(size, int(count)) if count else size


def trained_samples(cell: Cell) -> float:
    """An estimate of the samples that the base training processes."""
    sizes = sizes_of(cell)
    return min(sizes.base_steps * sizes.batch_size, 10**15)


def samples_of(stage: Stage) -> Samples:
    """An estimate of the samples that ``stage`` processes."""
    return kind_of(stage).samples(stage)


def flops_of(stage: Stage) -> float:
    """An estimate of the floating-point operations of ``stage``."""
    backbone = next((use for use in stage.uses if _is_backbone(use)), None)
    each = _per_sample(stage.cell) if backbone is None else backbone_flops(stage.cell, backbone)
    return samples_of(stage).work * each


def _is_backbone(use: Use) -> bool:
    return use.kind == "models" and get("models", use.name).traits.gives is not None


def backbone_flops(cell: Cell, backbone: Use, *, attention: bool = True) -> int:
    """Floating-point operations of a frozen ``backbone`` for one sample of the cell's data; without
    ``attention``, the products of activations with each other are left out."""
    facts = facts_of(attrs.evolve(cell.data, features=None))
    found = flops_by_kind(backbone, facts.encoding, 0).items()
    return sum(n for kind, n in found if attention or not ("bmm" in kind or "scaled_dot" in kind))


def flops_of_parts(cell: Cell) -> dict[str, float]:
    """Of one sample: those of the ``head``, and those of its ``backbone`` without attention."""
    backbone = cell.data.features
    frozen = 0 if backbone is None else backbone_flops(cell, backbone, attention=False)
    return {"head": _per_sample(cell), "backbone": frozen}


def step_flops_of(cell: Cell) -> float:
    """An estimate of the floating-point operations of one training step."""
    return 3 * _per_sample(cell) * cell.train.batch_size


def threads_of(cell: Cell) -> int:
    """The threads that a stage of ``cell`` is computed with on this machine."""
    return threads_for(step_flops_of(cell))


def memory_of(cell: Cell) -> float:
    """An estimate of the bytes that training one of several models together takes on a device.

    Weights six times (the model, its place in the stack, gradient, two states of the optimiser,
    a change), what layers give three times (kept, gradient, on the way), and the samples.
    """
    facts, use, given = facts_of(cell.data), architecture(cell.model), list[int]()
    with torch.device("meta"), torch.no_grad():
        build = get("models", use.name).function
        model = build(use.settings, facts.encoding, facts.classes).eval()
        for layer in (m for m in model.modules() if not list(m.children())):
            layer.register_forward_hook(lambda _, inputs, output: given.append(output.numel()))
        model(facts.encoding.example())
    weights = sum(value.numel() for value in model.state_dict().values())
    samples = (facts.train or 0) * facts.encoding.stored(1).nbytes
    return 4 * (6 * weights + 3 * sum(given) * cell.train.batch_size) + samples


def _per_sample(cell: Cell) -> int:
    facts = facts_of(cell.data)
    return flops_per_sample(cell.model, facts.encoding, facts.classes)
