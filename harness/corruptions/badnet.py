"""BadNet: a patch in a corner that the model learns to answer with the target class."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Literal

from attrs import frozen

from harness.components import Facts, Misfit, component, setting
from harness.corruptions.poison import Poison, Trigger, poison_misfits, poisoned, target_class
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption, expected
from harness.data.encodings import Images
from harness.data.types import Dataset, Split
from harness.errors import HarnessError
from harness.lazy import torch


@frozen
class BadNet(Poison):
    """Settings of ``badnet``."""

    patch: int = setting(3, doc="side of the square patch", unit="pixels", gt=0)
    place: Literal["top_left", "top_right", "bottom_left", "bottom_right"] = setting(
        "bottom_right", doc="corner that holds the patch"
    )
    value: float = setting(
        1.0, doc="intensity of the patch in all channels; 1 is white", ge=0, le=1
    )
    when: Literal["before_augmentation", "after_normalisation"] = setting(
        "before_augmentation",
        doc="before: crops and flips move the patch; after: it keeps its place in the batch",
    )
    white: Literal["channel", "largest"] = setting(
        "channel",
        doc="after normalisation: each channel's own value, or the largest of the channels' in all",
    )


def corner(images: torch.Tensor, settings: BadNet) -> torch.Tensor:
    """The view of ``images`` [..., H, W] that the patch covers. Raises HarnessError."""
    size = settings.patch
    if size > min(images.shape[-2:]):
        raise HarnessError(f"a patch of {size} pixels does not fit {tuple(images.shape[-2:])}")
    vertical, horizontal = settings.place.split("_")
    rows = slice(0, size) if vertical == "top" else slice(-size, None)
    columns = slice(0, size) if horizontal == "left" else slice(-size, None)
    return images[..., rows, columns]


def misfits(settings: BadNet, facts: Facts) -> Iterator[Misfit]:
    """As of every poison, and a patch that is larger than the image (trait ``check``)."""
    yield from poison_misfits(settings, facts)
    _, height, width = facts.encoding.shape
    if settings.patch > min(height, width):
        what = f"a patch of {settings.patch} pixels does not fit images of {height}x{width}"
        yield Misfit("patch", what)


def trigger(settings: BadNet, dataset: Dataset) -> Trigger:
    """Stamps uint8 images, or normalised ones where the patch comes after normalisation."""
    encoding: Images = dataset.encoding
    mean, std = encoding.mean, encoding.std
    if settings.when == "before_augmentation":
        values = torch.full((len(mean),), round(255 * settings.value), dtype=torch.uint8)
    else:
        values = (settings.value - torch.tensor(mean)) / torch.tensor(std)
        if settings.white == "largest":
            values = values.max().expand(len(mean))
    return partial(stamp, settings=settings, values=values.view(-1, 1, 1))


def stamp(images: torch.Tensor, settings: BadNet, values: torch.Tensor) -> torch.Tensor:
    """A copy of ``images`` [B, C, H, W] with the patch on each."""
    stamped = images.clone()
    corner(stamped, settings)[:] = values.to(images.device)
    return stamped


@component(
    "corruptions",
    "badnet",
    settings=BadNet,
    source="Gu et al., arXiv 1708.06733; patch and draw as in Potion (protocol sections 1 and 2)",
    trigger=trigger,
    when=lambda settings: "after" if settings.when == "after_normalisation" else "before",
    target_class=target_class,
    amount=expected,
    check=misfits,
)
def corrupt(train: Split, settings: BadNet, task: CorruptionTask) -> Corruption:
    """Stamp a patch on some training samples and label them as the target class.

    Raises:
        HarnessError: as ``poisoned`` does, or the patch does not fit.
    """
    corner(train.inputs, settings)
    early = settings.when == "before_augmentation"
    stamps = trigger(settings, task.dataset) if early else None
    return poisoned(train, settings, task, stamps)
