"""Methods that train the last k layers only, the rest frozen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from attrs import frozen

from harness.components import Facts, Misfit, component, setting
from harness.errors import HarnessError
from harness.lazy import nn
from harness.methods.baselines import with_own
from harness.methods.length import budget, samples_trained, with_length, within
from harness.methods.task import Task
from harness.spec.blocks import Use, use
from harness.training.parameters import with_lr

SHORTCUTS = ("shortcut", "downsample")
SOURCE = "Goel et al., arXiv 2201.06640; k of the layers as in Potion's code (protocol section 5)"


@frozen
class LastLayers:
    """Settings of ``retrain_last_k`` and ``finetune_last_k``."""

    k: int = setting(doc="layers or blocks that are trained", gt=0, example=1)
    steps: int | None = setting(None, doc="length; the base training's when left out",
                                unit="optimiser steps", gt=0)  # fmt: skip
    epochs: float | None = setting(None, doc="length", unit="passes over the retain set", gt=0)
    lr: float | None = setting(None, doc="peak learning rate", gt=0)
    unit: Literal["layers", "blocks"] = setting(
        "layers",
        doc="what k counts: convolutions and linear layers, without those of shortcuts; or blocks, "
        "each part that stays whole and has weights: a residual block, a transformer block, the "
        "first convolution, the head; a normalisation belongs to the block before it",
        later=True,
    )
    optimizer: Use | None = use("optimizers", None, doc="the optimiser", later=True)
    schedule: Use | None = use("schedules", None, doc="the learning-rate schedule", later=True)
    budget: float | None = budget()


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    """The parts of a model in order; what is no sequence or list of modules is one part."""
    for child in module.children():
        if isinstance(child, nn.Sequential | nn.ModuleList):
            yield from _parts(child)
        else:
            yield child


def _layers(part: nn.Module) -> int:
    kinds = nn.Conv2d | nn.Linear | nn.EmbeddingBag
    return sum(
        isinstance(module, kinds) and not any(s in name for s in SHORTCUTS)
        for name, module in part.named_modules()
    )


def _is_block(part: nn.Module) -> bool:
    return any(weight.ndim > 1 for weight in part.parameters())


def split_last(
    model: nn.Module, k: int, unit: str = "layers"
) -> tuple[list[nn.Module], list[nn.Module]]:
    """The parts of ``model`` before and from the k-th last layer, or block, on.

    The last 3 layers of torchvision's ResNet-18 are its head and its last residual block, its last
    3 blocks the head and both residual blocks of the last stage; those of a GPT-2 are the head, the
    norm before it and two transformer blocks.

    Raises:
        HarnessError: no such cut, because a residual block stays whole.
    """
    counted = _layers if unit == "layers" else _is_block
    parts = list(_parts(model))
    possible, count = [], 0
    for position in reversed(range(len(parts))):
        layers = int(counted(parts[position]))
        count += layers
        if layers:
            possible.append(count)
        if layers and count == k:
            return parts[:position], parts[position:]
    raise HarnessError(
        f"the last {k} {unit} cannot be cut off; possible here: {', '.join(map(str, possible))}"
    )


def misfits(settings: LastLayers, facts: Facts) -> Iterator[Misfit]:
    """A number of layers that the spec's network cannot be cut at (trait ``check``).

    Of blocks every number can be cut off that there is, so that no network is built for them.
    """
    for model in facts.models() if settings.unit == "layers" else ():
        try:
            split_last(model, settings.k, settings.unit)
        except HarnessError as problem:
            yield Misfit("k", str(problem))


def _train_last(model: nn.Module, task: Task, settings: LastLayers) -> nn.Module:
    """Train the last layers; all before them keeps eval mode, and so its BatchNorm statistics."""
    front, last = split_last(model, settings.k, settings.unit)
    model.eval().requires_grad_(False)
    for part in last:
        part.requires_grad_(True)
    for part in front:
        part.__dict__["train"] = lambda mode=True, part=part: part
    train = with_length(with_own(task.recipe, settings), settings, task, task.retain)
    task.fit(model, task.retain, with_lr(train, settings.lr))
    for part in front:
        del part.__dict__["train"]
    return model.requires_grad_(True)


@component(
    "methods",
    "retrain_last_k",
    settings=LastLayers,
    source=f"EU-k, {SOURCE}",
    sees=frozenset({"retain", "original weights"}),
    within=within,
    check=misfits,
    work=lambda s, sizes: (samples_trained(s, sizes, sizes.retain),) * 2,
)
def retrain_last_k(model: nn.Module, task: Task, settings: LastLayers) -> nn.Module:
    """Initialise the last k layers anew and train them on the retain set."""
    _, last = split_last(model, settings.k, settings.unit)
    _, anew = split_last(task.fresh("model"), settings.k, settings.unit)
    for old, new in zip(last, anew, strict=True):
        old.load_state_dict(new.state_dict())
    return _train_last(model, task, settings)


@component(
    "methods",
    "finetune_last_k",
    settings=LastLayers,
    source=f"CF-k, {SOURCE}",
    sees=frozenset({"retain", "original weights"}),
    within=within,
    check=misfits,
    work=lambda s, sizes: (samples_trained(s, sizes, sizes.retain),) * 2,
)
def finetune_last_k(model: nn.Module, task: Task, settings: LastLayers) -> nn.Module:
    """Go on training the last k layers on the retain set."""
    return _train_last(model, task, settings)
