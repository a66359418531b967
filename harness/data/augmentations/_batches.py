"""What components that augment batches themselves check of the augmentations they are given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.components import Facts, get
from harness.spec.blocks import Use


def batch_misfits(augment: Sequence[Use], facts: Facts) -> Iterator[str]:
    """Why one of ``augment`` does not fit the data, or is none of images alone."""
    for use in augment:
        traits = get("augmentations", use.name).traits
        if traits.over != "batch":
            yield f"{use.name!r} is over a {traits.over}; only augmentations of a batch work here"
        for found in traits.check(use.settings, facts):
            yield found.what
