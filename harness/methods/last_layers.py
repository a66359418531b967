"""Methods that train the last k layers only, the rest frozen."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from harness.components import component, setting
from harness.errors import HarnessError
from harness.lazy import nn
from harness.methods.baselines import length, samples_trained
from harness.methods.task import Task
from harness.training.parameters import with_lr

SHORTCUTS = ("shortcut", "downsample")
SOURCE = "Goel et al., arXiv 2201.06640; k of the layers as in Potion's code (protocol section 5)"


@frozen
class LastLayers:
    """Settings of ``retrain_last_k`` and ``finetune_last_k``."""

    k: int = setting(
        doc="layers that are trained: convolutions, linear layers and tables of values, without "
        "those of shortcuts",
        gt=0,
        example=1,
    )
    steps: int | None = setting(None, doc="length; the base training's when left out",
                                unit="optimiser steps", gt=0)  # fmt: skip
    epochs: float | None = setting(None, doc="length", unit="passes over the retain set", gt=0)
    lr: float | None = setting(None, doc="peak learning rate", gt=0)


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    """The parts of a model in order; what is not a plain sequence is one part."""
    for child in module.children():
        if isinstance(child, nn.Sequential):
            yield from _parts(child)
        else:
            yield child


def _layers(part: nn.Module) -> int:
    kinds = nn.Conv2d | nn.Linear | nn.EmbeddingBag
    return sum(
        isinstance(module, kinds) and not any(s in name for s in SHORTCUTS)
        for name, module in part.named_modules()
    )


def split_last(model: nn.Module, k: int) -> tuple[list[nn.Module], list[nn.Module]]:
    """The parts of ``model`` before and from the k-th last layer on.

    Raises:
        HarnessError: no such cut, because a residual block stays whole.
    """
    parts = list(_parts(model))
    possible, count = [], 0
    for position in reversed(range(len(parts))):
        layers = _layers(parts[position])
        count += layers
        if layers:
            possible.append(count)
        if layers and count == k:
            return parts[:position], parts[position:]
    raise HarnessError(
        f"the last {k} layers cannot be cut off; possible here: {', '.join(map(str, possible))}"
    )


def _train_last(model: nn.Module, task: Task, settings: LastLayers) -> nn.Module:
    """Train the last layers; all before them keeps eval mode, and so its BatchNorm statistics."""
    front, last = split_last(model, settings.k)
    model.eval().requires_grad_(False)
    for part in last:
        part.requires_grad_(True)
    for part in front:
        part.__dict__["train"] = lambda mode=True, part=part: part
    task.fit(model, task.retain, with_lr(length(settings, task.recipe), settings.lr))
    for part in front:
        del part.__dict__["train"]
    return model.requires_grad_(True)


@component(
    "methods",
    "retrain_last_k",
    settings=LastLayers,
    source=f"EU-k, {SOURCE}",
    sees=frozenset({"retain", "original weights"}),
    work=lambda s, sizes: (samples_trained(s, sizes, sizes.retain),) * 2,
)
def retrain_last_k(model: nn.Module, task: Task, settings: LastLayers) -> nn.Module:
    """Initialise the last k layers anew and train them on the retain set."""
    _, last = split_last(model, settings.k)
    _, anew = split_last(task.fresh("model"), settings.k)
    for old, new in zip(last, anew, strict=True):
        old.load_state_dict(new.state_dict())
    return _train_last(model, task, settings)


@component(
    "methods",
    "finetune_last_k",
    settings=LastLayers,
    source=f"CF-k, {SOURCE}",
    sees=frozenset({"retain", "original weights"}),
    work=lambda s, sizes: (samples_trained(s, sizes, sizes.retain),) * 2,
)
def finetune_last_k(model: nn.Module, task: Task, settings: LastLayers) -> nn.Module:
    """Go on training the last k layers on the retain set."""
    return _train_last(model, task, settings)
