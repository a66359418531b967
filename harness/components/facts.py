"""What components declare of data and of weights, before any of them is read."""

from __future__ import annotations

from typing import Any

from attrs import frozen


@frozen
class Facts:
    """What a data set declares before any of it is read; None is a size that is not declared.

    ``validation`` counts the samples of a validation split of its own, ``groups`` says whether its
    training samples belong to groups, such as persons, ``maps`` names the tasks beside the class
    that it has targets of.
    """

    encoding: Any
    classes: int
    train: int | None
    test: int | None
    validation: int | None = 0
    groups: bool = False
    maps: tuple[str, ...] = ()


@frozen
class Misfit:
    """A setting that does not fit the data: its name ("" for the whole) and what is wrong."""

    setting: str
    what: str


@frozen
class Weights:
    """Weights from elsewhere: where they lie, what ``pins`` them (a digest, a commit), licence."""

    source: str
    pins: str
    licence: str
