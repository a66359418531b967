"""Forget sets of whole groups of samples, such as all pictures of a person."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from harness.components import Facts, Misfit, component, setting
from harness.data.corruption import Corruption
from harness.data.types import DataRoot
from harness.errors import HarnessError
from harness.lazy import torch


@frozen
class FirstGroups:
    """Settings of ``first_groups``."""

    count: int = setting(15, doc="groups to forget, those of the lowest numbers", gt=0)


def first_groups_misfits(settings: FirstGroups, facts: Facts) -> Iterator[Misfit]:
    """Data without groups (trait ``check``)."""
    if not facts.groups:
        yield Misfit("", "the samples of this data set belong to no groups; 'faces' has some")


@component(
    "forget_sets",
    "first_groups",
    settings=FirstGroups,
    of_groups=True,
    check=first_groups_misfits,
    size=lambda s, train, corrupted, classes: round(0.02 * train),
    source="google-deepmind/unlearning_evaluation at ffae0ff, surf.py: the first combination of 15 "
    "persons, about 2 % of the training pictures",
)
def first_groups(
    settings: FirstGroups,
    rows: torch.Tensor,
    corruption: Corruption,
    groups: torch.Tensor,
    generator: torch.Generator,
    root: DataRoot,
) -> torch.Tensor:
    """Every training sample of the first groups, in all repeats the same.

    Raises:
        HarnessError: there are no more groups than that, so that nothing would be retained.
    """
    there = groups[rows]
    known = there[there >= 0].unique()
    if len(known) <= settings.count:
        raise HarnessError(
            f"forget set: {settings.count} groups are to be forgotten; there are {len(known)}"
        )
    return rows[torch.isin(there, known[: settings.count])]
