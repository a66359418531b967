"""Seeds: what of a run is repeated with other random numbers.

``data`` seeds splits, corruption and forget set, ``model`` the base model's initialisation, order
and augmentation, and ``unlearn`` what comes after it. A plain list moves all three together.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from attrs import frozen

from harness.components import setting


@frozen
class SeedRange:
    """``count`` seeds in a row."""

    first: int = setting(0, doc="the first seed", ge=0)
    count: int = setting(doc="how many seeds", unit="seeds", gt=0, le=100_000)


SeedList = tuple[int, ...] | SeedRange


@frozen
class SeedAxes:
    """Seeds that differ apart from each other: every combination is run."""

    data: SeedList = setting((0,), doc="of splits, corruption and forget set", ge=0)
    model: SeedList = setting(
        (0,), doc="of the base model: initialisation, order, augmentation", ge=0
    )
    unlearn: SeedList = setting((0,), doc="of what comes after the base model", ge=0)


SeedChoice = tuple[int, ...] | SeedAxes


@frozen
class Seeds:
    """The seeds of one repetition. ``together``: the spec moves all three as one."""

    data: int
    model: int
    unlearn: int
    together: bool = True

    @property
    def numbers(self) -> tuple[int, int, int]:
        """Of data, model and unlearning."""
        return self.data, self.model, self.unlearn

    @property
    def label(self) -> int | str:
        """How tables call the repetition: ``0``, or ``0/0/3`` for data, model and unlearning."""
        return self.data if self.together else f"{self.data}/{self.model}/{self.unlearn}"


def repetitions(chosen: SeedChoice) -> Iterator[Seeds]:
    """Every repetition that a spec's ``seeds`` ask for; the unlearning seed moves fastest."""
    if isinstance(chosen, tuple):
        yield from (Seeds(seed, seed, seed) for seed in chosen)
        return
    for data, model, unlearn in product(*map(listed, (chosen.data, chosen.model, chosen.unlearn))):
        yield Seeds(data, model, unlearn, together=False)


def listed(seeds: SeedList) -> tuple[int, ...]:
    """The seeds one by one."""
    if isinstance(seeds, SeedRange):
        return tuple(range(seeds.first, seeds.first + seeds.count))
    return seeds


def count(chosen: SeedChoice) -> int:
    """How many repetitions that are, without going through them."""
    if isinstance(chosen, tuple):
        return len(chosen)
    total = 1
    for seeds in (chosen.data, chosen.model, chosen.unlearn):
        total *= seeds.count if isinstance(seeds, SeedRange) else len(seeds)
    return total


def wrong_seeds(chosen: SeedChoice) -> Iterator[tuple[tuple[str, ...], str]]:
    """Where, below ``seeds``, and what is wrong."""
    lists = {(): chosen} if isinstance(chosen, tuple) else {
        (name,): getattr(chosen, name) for name in ("data", "model", "unlearn")
    }  # fmt: skip
    for path, seeds in lists.items():
        if isinstance(seeds, SeedRange):
            continue
        if len(set(seeds)) != len(seeds):
            yield path, "a seed stands twice; each repetition needs its own"
        if not seeds:
            yield path, "an empty list; at least one seed is needed"


def in_words(chosen: SeedChoice) -> str:
    """``0, 1``, or ``1 data seed × 1 base model seed × 16 unlearning seeds``."""
    if isinstance(chosen, tuple):
        return ", ".join(map(str, chosen))
    names = {"data": "data", "model": "base model", "unlearn": "unlearning"}
    counts = {word: len(listed(getattr(chosen, name))) for name, word in names.items()}
    return " × ".join(f"{n} {word} seed{'s' if n > 1 else ''}" for word, n in counts.items())
