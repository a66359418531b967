"""Corruptions that change labels only: noise, permuted labels, swapped classes, and none."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from harness.components import Facts, Misfit, NoSettings, component, setting
from harness.components.contracts import EVERY_ENCODING
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption, amount, amount_misfits, draw, expected
from harness.data.types import Split
from harness.errors import HarnessError
from harness.lazy import torch


@component("corruptions", "none", source="the clean data", acts_on=EVERY_ENCODING, clean=True)
def none(train: Split, settings: NoSettings, task: CorruptionTask) -> Corruption:
    """Leave the training data as they are."""
    nothing = torch.empty(0, dtype=torch.int64)
    return Corruption(nothing, nothing)


@frozen
class LabelNoise:
    """Settings of ``label_noise``."""

    share: float | None = setting(None, doc="share of the training data", gt=0, le=1, example=0.1)
    count: int | None = setting(None, doc="samples with a wrong label", unit="samples", gt=0)


@component(
    "corruptions",
    "label_noise",
    settings=LabelNoise,
    acts_on=EVERY_ENCODING,
    amount=expected,
    check=amount_misfits,
    source="symmetric label noise, Angluin and Laird 1988",
)
def label_noise(train: Split, settings: LabelNoise, task: CorruptionTask) -> Corruption:
    """Give some samples a wrong label, uniform over the other classes."""
    rows, generator = task.rows, task.generator()
    number = amount(settings.share, settings.count, len(rows), len(rows))
    # Every row's shift is drawn, so that a smaller amount gives the same labels to its rows.
    chosen = draw(rows, number, generator)
    classes = len(task.dataset.classes)
    shifts = torch.randint(1, classes, (len(rows),), generator=generator)[:number]
    order = chosen.argsort()
    return Corruption(chosen[order], ((train.targets[chosen] + shifts) % classes)[order])


@frozen
class LabelPermutation:
    """Settings of ``label_permutation``."""

    share: float | None = setting(None, doc="share of the training data", gt=0, le=1, example=0.1)
    count: int | None = setting(
        None, doc="samples that exchange labels among themselves", unit="samples", gt=0
    )
    numpy_seed: int | None = setting(
        None,
        doc="draw with numpy's legacy generator of this seed, as published code, in every repeat",
        ge=0,
    )


@component(
    "corruptions",
    "label_permutation",
    settings=LabelPermutation,
    acts_on=EVERY_ENCODING,
    amount=expected,
    check=amount_misfits,
    source="random label swap, Goel et al., arXiv 2402.14015, code: src/datasets.py",
)
def label_permutation(train: Split, settings: LabelPermutation, task: CorruptionTask) -> Corruption:
    """Permute the labels of some samples among themselves.

    The drawn samples, sorted, get the labels of the drawn samples as drawn: every label is given
    as often as before, and a sample may keep its own. Samples of a smaller amount are part of a
    larger one; their new labels are not.

    The published code means this, but reaches it under the name ``labelrandom`` only; its
    ``randomlabelswap`` labels all drawn samples 0.
    """
    number = amount(settings.share, settings.count, len(task.rows), len(task.rows))
    chosen = draw(task.rows, number, task.generator(), settings.numpy_seed)
    return Corruption(chosen.sort().values, train.targets[chosen])


@frozen
class ClassSwap:
    """Settings of ``class_swap``."""

    classes: tuple[int, int] = setting(
        doc="the two classes whose labels are swapped", ge=0, example=(3, 5)
    )
    share: float | None = setting(
        None, doc="share of the samples of both classes", gt=0, le=1, example=0.1
    )
    count: int | None = setting(
        None, doc="swapped samples, half of each class", unit="samples", gt=0
    )
    first: bool = setting(
        False,
        doc="take the first samples in the data set's order, as published code, instead of a draw",
    )
    numpy_seed: int | None = setting(
        None,
        doc="draw with numpy's legacy generator of this seed in every repeat, and list the samples "
        "of one class before those of the other for the draws of forget sets, as published code",
        ge=0,
        later=True,
    )


def swap_misfits(settings: ClassSwap, facts: Facts) -> Iterator[Misfit]:
    """Classes or an amount that cannot be swapped (trait ``check``)."""
    yield from amount_misfits(settings, facts)
    first, second = settings.classes
    if first == second:
        yield Misfit("classes", f"two different classes are needed; found {first} twice")
    for label in sorted({first, second}):
        if label >= facts.classes:
            yield Misfit("classes", f"class {label} does not exist; there are {facts.classes}")
    if settings.count is not None and settings.count % 2:
        what = f"half of it is swapped each way; found {settings.count}, which is odd"
        yield Misfit("count", what)


@component(
    "corruptions",
    "class_swap",
    settings=ClassSwap,
    acts_on=EVERY_ENCODING,
    amount=expected,
    check=swap_misfits,
    source="interclass confusion, Goel et al., arXiv 2201.06640 and arXiv 2402.14015",
)
def class_swap(train: Split, settings: ClassSwap, task: CorruptionTask) -> Corruption:
    """Swap the labels of as many samples of one class as of the other.

    The code of arXiv 2402.14015 swaps the first samples of each class (CIFAR-10: 3 and 5,
    CIFAR-100: 47 and 53): set ``first`` for that, and ``numpy_seed`` for what it discovers of them.

    Raises:
        HarnessError: a class does not exist, both are one, the count is odd, or there are too few
            samples.
    """
    first, second = settings.classes
    if first == second or max(settings.classes) >= len(task.dataset.classes):
        raise HarnessError(f"class_swap: two different classes are needed; found {first}, {second}")
    rows, generator = task.rows, task.generator()
    members = [rows[train.targets[rows] == label] for label in (first, second)]
    smaller = 2 * min(map(len, members))
    total = amount(settings.share, settings.count, smaller, sum(map(len, members)))
    if total < 2:
        raise HarnessError("class_swap: one sample of each class is needed at least")
    if settings.count is not None and total % 2:
        raise HarnessError(f"class_swap: half of count is swapped each way; found {total}, odd")
    half = total // 2
    seed = settings.numpy_seed
    halves = [
        rows[:half] if settings.first else draw(rows, half, generator, seed) for rows in members
    ]
    chosen = torch.cat(halves)
    targets = torch.cat([torch.full_like(halves[0], second), torch.full_like(halves[1], first)])
    order = chosen.argsort() if seed is None else torch.arange(total)
    return Corruption(chosen[order], targets[order])
