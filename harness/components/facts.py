"""What components declare of data and of weights, before any of them is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from attrs import field, frozen


@frozen
class Facts:
    """What a data set declares before any of it is read; None is a size that is not declared.

    ``validation`` counts the samples of a validation split of its own, ``groups`` says whether its
    training samples belong to groups, such as persons, ``maps`` names the tasks beside the class
    that it has targets of. ``models`` builds the spec's network without weights, on torch's meta
    device, at each point of its sweeps; nothing where it cannot be built.
    """

    encoding: Any
    classes: int
    train: int | None
    test: int | None
    validation: int | None = 0
    groups: bool = False
    maps: tuple[str, ...] = ()
    models: Callable[[], Iterable[Any]] = field(default=tuple, eq=False, repr=False)


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
