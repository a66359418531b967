"""What backdoor corruptions share: who is poisoned, and how a trigger changes uint8 images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from attrs import frozen

from harness.components import Facts, Misfit, setting
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption, amount, amount_misfits, draw
from harness.data.types import Split
from harness.errors import HarnessError
from harness.lazy import torch

Trigger = Callable[["torch.Tensor"], "torch.Tensor"]
AT_ONCE = 256  # images that are float32 at a time


@frozen
class Poison:
    """Settings of every backdoor corruption."""

    target_class: int = setting(0, doc="label that poisoned samples get", ge=0)
    share: float | None = setting(
        None, doc="share of the training data to poison", gt=0, le=1, example=0.1
    )
    count: int | None = setting(None, doc="poisoned samples", unit="samples", gt=0)
    classes: tuple[int, ...] | None = setting(
        None, doc="classes to draw poisoned samples from; all when left out", ge=0
    )
    include_target: bool = setting(
        True, doc="whether samples of the target class are drawn too; their label stays right"
    )
    numpy_seed: int | None = setting(
        None,
        doc="draw with numpy's legacy generator of this seed, as published code, in every repeat",
        ge=0,
    )


def poisoned(
    train: Split, settings: Poison, task: CorruptionTask, trigger: Trigger | None
) -> Corruption:
    """Draw samples, label them as the target class, and change their images with ``trigger``.

    The share counts all training rows; samples are drawn uniformly from the eligible ones.
    Without ``trigger`` images stay as they are, for a trigger that acts on batches.

    Raises:
        HarnessError: the target class or a source class does not exist, or more samples are asked
            for than are eligible.
    """
    known = len(task.dataset.classes)
    for label in (settings.target_class, *(settings.classes or ())):
        if label >= known:
            raise HarnessError(f"corruption: class {label} does not exist; there are {known}")
    eligible = task.rows
    if settings.classes is not None:
        wanted = torch.tensor(settings.classes)
        eligible = eligible[torch.isin(train.targets[eligible], wanted)]
    if not settings.include_target:
        eligible = eligible[train.targets[eligible] != settings.target_class]
    number = amount(settings.share, settings.count, len(eligible), len(task.rows))
    chosen = draw(eligible, number, task.generator(), settings.numpy_seed).sort().values
    targets = torch.full((number,), settings.target_class, dtype=torch.int64)
    inputs = None if trigger is None else trigger(train.inputs[chosen])
    return Corruption(chosen, targets, inputs)


def poison_misfits(settings: Poison, facts: Facts) -> Iterator[Misfit]:
    """What a poison's settings have that the data have not (trait ``check``)."""
    yield from amount_misfits(settings, facts)
    classes = [("target_class", settings.target_class)]
    classes += [("classes", label) for label in settings.classes or ()]
    for name, label in classes:
        if label >= facts.classes:
            yield Misfit(name, f"class {label} does not exist; there are {facts.classes}")
    if settings.classes == (settings.target_class,) and not settings.include_target:
        yield Misfit("classes", "only the target class is drawn from, and include_target is no")


def target_class(settings: Poison) -> int:
    """The class that a triggered image is to get."""
    return settings.target_class


def before(settings: Poison) -> Literal["before"]:
    """When a trigger acts that only knows uint8 images: before augmentation."""
    return "before"


def changed(images: torch.Tensor, change: Trigger) -> torch.Tensor:
    """``images`` uint8 [B, C, H, W] after ``change``, which maps float32 intensities in [0, 255].

    What it gives is rounded (halves to even) and clipped to [0, 255].
    """
    parts = images.split(AT_ONCE)
    return torch.cat([change(part.float()).round().clamp(0, 255).to(torch.uint8) for part in parts])
