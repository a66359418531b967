"""Training data after augmentations of the whole training set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.components import get
from harness.data.changes import Change
from harness.data.types import Split
from harness.lazy import torch
from harness.spec.blocks import Use
from harness.training.seeding import generator


def over_training_set(augment: Iterable[Use]) -> tuple[Use, ...]:
    """Those of ``augment`` that change stored images once, and no batches."""
    return tuple(use for use in augment if get(use.kind, use.name).traits.over == "training set")


def defended(
    train: Split, changes: Sequence[Change], rows: torch.Tensor, seed: str, uses: tuple[Use, ...]
) -> Split:
    """``train`` with ``changes``, and then with ``rows`` as ``uses`` make them. What these see is
    rounded to 8 bits, as image files would be; all other rows are zeros."""
    images, targets = train.inputs[rows], train.targets[rows]
    for change in changes:
        images = change.applied(images, rows)
    for use in uses:
        if images.is_floating_point():
            images = images.round().clamp(0, 255).to(torch.uint8)
        draws = generator(seed, f"defence {use.name}")
        images = get(use.kind, use.name).function(images, targets, use.settings, draws)
    inputs = torch.zeros(train.inputs.shape, dtype=images.dtype)
    inputs[rows] = images
    return Split(inputs, train.targets)
