"""The data of one cell and seed with its corruption in place, and the pools drawn from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from typing import Any

import attrs
from attrs import frozen

from harness.components import get
from harness.corruptions.types import Corruption
from harness.data.changes import Change, Function, Replacement, marks
from harness.data.pool import Pool
from harness.data.types import DataRoot, Dataset, Split
from harness.errors import HarnessError
from harness.lazy import torch
from harness.plan.stage import Cell, address, identity
from harness.spec.blocks import Use
from harness.stages.defended import defended, over_training_set
from harness.stages.stored_corruption import check_corruption, corruption_of
from harness.training.seeding import generator

Tensors = Mapping[str, "torch.Tensor"]


class Rule:
    """The function of a ``Change`` that a corruption's trait ``rule`` makes on a batch's device."""

    def __init__(self, make: Callable[[Tensors], Function], tensors: Tensors) -> None:
        self._make, self._tensors = make, tensors
        self._made: dict[torch.device, Function] = {}

    def __call__(self, inputs: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """What the rule makes of ``inputs``."""
        device = inputs.device
        if device not in self._made:
            here = {name: value.to(device) for name, value in self._tensors.items()}
            self._made[device] = self._make(here)
        return self._made[device](inputs, rows)


@frozen(eq=False)
class Corrupted:
    """The training data of one ``corrupt`` artifact; what was discovered does not matter to it.

    ``train`` has labels and inputs in place, and what was added at its end; ``changes`` put those
    inputs in place that are not stored as the data set's are, ``after`` is a rule that changes what
    the encoding gives. ``rows`` are the corrupted samples, the ``added`` ones included.
    """

    train: Split
    corruption: Corruption
    rows: torch.Tensor
    added: torch.Tensor
    changes: tuple[Change, ...]
    after: Change | None


@frozen(eq=False)
class Material:
    """The data of one cell and seed, with its corruption in place.

    All rows are of the training data with what the corruption added at their end.
    ``corrupted_rows`` count that in; ``corruption.rows`` and ``dataset_rows``, those training rows
    that the data set has itself, do not. ``trigger`` acts on stored samples or, where ``after``,
    on what the encoding gives. ``choose`` gives the rows to forget,
    ``defended`` the training data after augmentations of the whole training set.
    """

    dataset: Dataset
    corrupted: Corrupted
    train_rows: torch.Tensor
    validation_rows: torch.Tensor
    choose: Callable[[], torch.Tensor]
    defended: Callable[[tuple[Use, ...]], Split]
    trigger: Callable[[torch.Tensor], torch.Tensor] | None
    after: bool
    target_class: int | None
    device: torch.device

    @cached_property
    def forget(self) -> torch.Tensor:
        """The rows to forget. They are chosen when somebody asks: a surrogate's data have none."""
        return self.choose()

    @cached_property
    def retain(self) -> torch.Tensor:
        """The training rows that stay."""
        return without(self.train_rows, self.forget)

    @property
    def held_out(self) -> tuple[Split, torch.Tensor]:
        """The split that validation samples are of, and their rows in it."""
        own = self.dataset.validation
        if own is None:
            return self.dataset.train, self.validation_rows
        return own, torch.arange(len(own.targets))

    @property
    def train(self) -> Split:
        """The training data with the corruption in place, where that is stored as they are."""
        return self.corrupted.train

    @property
    def corruption(self) -> Corruption:
        """What the corruption left."""
        return self.corrupted.corruption

    @property
    def corrupted_rows(self) -> torch.Tensor:
        """The corrupted samples, those that were added included."""
        return self.corrupted.rows

    @property
    def dataset_rows(self) -> torch.Tensor:
        """The training rows that the data set has itself."""
        return without(self.train_rows, self.corrupted.added)

    def pool(self, rows: torch.Tensor, augment: Sequence[Use]) -> Pool:
        """Training samples as the base model saw them: corrupted and augmented.

        Augmentations of the whole training set come first, wherever they stand.
        """
        train, changes = self.train, self.corrupted.changes
        if whole := over_training_set(augment):
            train, changes = self.defended(whole), ()
            augment = [use for use in augment if use not in whole]
        trigger = self._after(marks(self.corrupted_rows, len(self.train.targets)))
        after = self.corrupted.after or trigger
        ways = {"augment": augment, "before": changes, "after": after}
        return self._pool(train, rows, clean=self.dataset.train, **ways)

    def clean(self, split: Split, rows: torch.Tensor | None = None) -> Pool:
        """Samples of ``split`` as they are."""
        every = torch.arange(len(split.targets)) if rows is None else rows
        return self._pool(split, every)

    def triggered(self, split: Split, rows: torch.Tensor) -> Pool:
        """Samples of ``split`` with the trigger on each and their clean labels."""
        if self.trigger is None:
            raise HarnessError("the corruption has no trigger")
        if self.after:
            every = torch.ones(len(split.targets), dtype=torch.bool)
            return self._pool(split, rows, after=self._after(every))
        shown = Split(self.trigger(split.inputs[rows]), split.targets[rows])
        return self._pool(shown, torch.arange(len(rows)), rows=rows, clean=split)

    def _after(self, marked: torch.Tensor) -> Change | None:
        """The trigger on ``marked`` samples, where it acts on what the encoding gives."""
        if self.trigger is None or not self.after:
            return None
        return Change(marked, self._stamp)

    def _stamp(self, x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return self.trigger(x) if self.trigger is not None else x

    def _pool(self, split: Split, index: torch.Tensor, **more: Any) -> Pool:
        return Pool(
            split,
            index,
            encoding=self.dataset.encoding,
            device=self.device,
            channels_last=self.device.type == "cuda",
            classes=len(self.dataset.classes),
            **more,
        )


def material_of(
    cell: Cell,
    dataset: Dataset,
    found: Corrupted,
    tensors: Tensors,
    root: DataRoot,
    device: torch.device,
) -> Material:
    """The material of ``cell``, from the tensors of its ``corrupt`` artifact.

    ``found`` is what ``corrupted`` makes of the same artifact.
    """
    rows = torch.cat([tensors["train_rows"], found.added])

    def choose() -> torch.Tensor:
        draws = generator(data_seed(cell), "forget")
        # Forget sets know one sort of corrupted sample.
        corruption = attrs.evolve(found.corruption, rows=found.rows)
        component, labels = get("forget_sets", cell.forget.name), found.train.targets
        if component.traits.of_groups:
            own = dataset.train.groups
            if own is None:
                raise HarnessError(f"the samples of {dataset.name} belong to no groups")
            labels = torch.cat([own, torch.full((len(labels) - len(own),), -1)])
        chosen: torch.Tensor = component.function(
            cell.forget.settings, rows, corruption, labels, draws, root
        )
        return chosen

    traits = get("corruptions", cell.corruption.name).traits
    settings = cell.corruption.settings
    return Material(
        dataset=dataset,
        corrupted=found,
        train_rows=rows,
        validation_rows=tensors["validation_rows"],
        choose=choose,
        defended=lru_cache(1)(partial(defended, found.train, found.changes, rows, data_seed(cell))),
        trigger=traits.trigger(settings, dataset) if traits.trigger else None,
        after=traits.when is not None and traits.when(settings) == "after",
        target_class=traits.target_class(settings) if traits.target_class else None,
        device=device,
    )


def data_seed(cell: Cell) -> str:
    """Seeds the draws of splits, corruption and forget set.

    It leaves out amounts, so that a smaller corrupted or forgotten set is part of a larger one.
    """
    return address("data", identity(cell.data.dataset, revisions=False), str(cell.seeds.data))


def corrupted(cell: Cell, dataset: Dataset, tensors: Tensors) -> Corrupted:
    """The training data of ``dataset`` with the corruption of a ``corrupt`` artifact in place.

    Raises:
        IntegrityError: the artifact is not one of this data set and corruption.
    """
    traits = get("corruptions", cell.corruption.name).traits
    check_corruption(tensors, dataset, rule=traits.rule is not None)
    corruption, total = corruption_of(tensors), len(dataset.train.targets)
    count = 0 if corruption.added is None else len(corruption.added.targets)
    added = torch.arange(total, total + count)
    train = _in_place(dataset.train, corruption)
    changes = [_replacement(part, total + count) for part in _values(dataset.train, corruption)]
    after = None
    if corruption.rule and traits.rule is not None:
        settings = cell.corruption.settings
        left = {"rows": corruption.rows, **corruption.tensors}
        rule = Rule(partial(traits.rule, settings, dataset), left)
        change = Change(marks(corruption.rows, total + count), rule)
        if traits.when is not None and traits.when(settings) == "after":
            after = change
        else:
            changes.append(change)
    return Corrupted(
        train=train,
        corruption=corruption,
        rows=torch.cat([corruption.rows, added]),
        added=added,
        changes=tuple(changes),
        after=after,
    )


def _in_place(train: Split, corruption: Corruption) -> Split:
    """``train`` with what is stored as it is, labels and inputs, and with what was added."""
    inputs, targets = train.inputs, train.targets.clone()
    if corruption.targets is not None:
        targets[corruption.rows] = corruption.targets
    if corruption.inputs is not None and corruption.inputs.dtype == inputs.dtype:
        inputs = inputs.clone()
        inputs[corruption.rows] = corruption.inputs
    if corruption.added is not None:
        # What is no whole number is only rounded here; a change puts it in place.
        more = corruption.added.inputs
        if more.dtype != inputs.dtype:
            more = more.round().clamp(0, 255).to(inputs.dtype)
        inputs = torch.cat([inputs, more])
        targets = torch.cat([targets, corruption.added.targets])
    return Split(inputs, targets)


def _values(train: Split, corruption: Corruption) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The rows, with their inputs, whose inputs are not of the type that the data set stores."""
    if corruption.inputs is not None and corruption.inputs.dtype != train.inputs.dtype:
        yield corruption.rows, corruption.inputs
    if corruption.deltas is not None:
        yield corruption.rows, train.inputs[corruption.rows].float() + corruption.deltas
    if corruption.added is not None and corruption.added.inputs.dtype != train.inputs.dtype:
        first = len(train.targets)
        rows = torch.arange(first, first + len(corruption.added.targets))
        yield rows, corruption.added.inputs


def _replacement(part: tuple[torch.Tensor, torch.Tensor], total: int) -> Change:
    rows, values = part
    return Change(marks(rows, total), Replacement(rows, values, total))


def without(rows: torch.Tensor, removed: torch.Tensor) -> torch.Tensor:
    """The ``rows`` that are not among ``removed``, in order."""
    return rows[~torch.isin(rows, removed)]
