"""A set of samples on a device, from which batches are drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import field, frozen

from harness.components import get
from harness.components.contracts import Encoding
from harness.data.changes import Change, Function
from harness.data.tasks import stored_maps, target_of
from harness.data.types import Split
from harness.errors import HarnessError
from harness.lazy import F, torch
from harness.spec.blocks import Use


@frozen(eq=False)
class Batch:
    """``x`` as models take it, ``y`` int64 [B], ``row`` int64 [B] of the split. Where an
    augmentation mixes labels, ``y`` is float32 [B, classes] and sums to 1.

    ``x`` is what the encoding's ``batch`` gives: float32 [B, C, H, W] normalised for images, a
    ``TokenBatch`` (ids, mask, shift) for tokens, float32 [B, size] for features. ``maps``, of a
    pool ``with_maps``, are the targets of other tasks by name, float32 [B, 1, H, W].
    """

    x: Any
    y: torch.Tensor
    row: torch.Tensor
    maps: Mapping[str, torch.Tensor] = field(factory=dict)


Augmentation = Callable[
    ["torch.Tensor", "torch.Tensor", "torch.Generator"], tuple["torch.Tensor", "torch.Tensor"]
]


class Pool:
    """Rows of a split, kept as stored on the device; augmented and encoded batch by batch.

    Args:
        split: stored samples [N, *shape] and labels int64 [N].
        index: the rows that belong to the pool, int64 [n].
        encoding: makes what a model takes from stored samples.
        augment: augmentations in order, applied by ``epoch``.
        before: changes of stored samples, in order, before augmentation; with any, images are
            augmented as float32.
        after: a change of what the encoding gives (``Change.encoded``).
        rows: what batches call the samples, int64 [n]; ``index`` itself when left out.
        clean: the split, as the data set has it, that those rows are of; ``split`` when left out.
        channels_last: the memory format of images; it changes no value.
        classes: of the data set, for augmentations that mix labels.

    All random draws come from the CPU generator that a caller passes, so that batches do not
    depend on the device, and a loop resumes by restoring that generator.
    """

    def __init__(
        self,
        split: Split,
        index: torch.Tensor,
        *,
        encoding: Encoding,
        device: torch.device | str = "cpu",
        augment: Sequence[Use] = (),
        before: Sequence[Change] = (),
        after: Change | None = None,
        rows: torch.Tensor | None = None,
        clean: Split | None = None,
        channels_last: bool = False,
        classes: int | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.index = index
        self.inputs = split.inputs[index].to(self.device)
        self.targets = split.targets[index].to(self.device)
        self._rows = (index if rows is None else rows).to(self.device)
        self.encoding = encoding
        self.augment = [_augmentation(use, classes) for use in augment]
        self._moving = [get("augmentations", use.name).traits.moves for use in augment]
        self._clean = split if clean is None else clean
        self._maps: Mapping[str, torch.Tensor] = {}
        self._before = [change.on(self.device) for change in before]
        self._after = None if after is None else after.on(self.device)
        self._layout = torch.channels_last if channels_last else torch.contiguous_format

    def __len__(self) -> int:
        return len(self.index)

    @property
    def rows(self) -> torch.Tensor:
        """The rows of the samples, int64 [n], as batches name them."""
        return self._rows

    def epoch(
        self,
        batch_size: int,
        generator: torch.Generator,
        *,
        shuffle: bool = True,
        skip: int = 0,
    ) -> Iterator[Batch]:
        """One pass in augmented batches; the last one may be smaller.

        ``skip`` leaves out that many batches and consumes the same random numbers for them, so
        that a pass which was cut off goes on exactly.
        """
        count = len(self)
        order = torch.randperm(count, generator=generator) if shuffle else torch.arange(count)
        order = order.to(self.device)
        seeds = torch.randint(2**62, (-(-count // batch_size),), generator=generator).tolist()
        draws = torch.Generator()
        for number in range(skip, len(seeds)):
            chosen = order[number * batch_size : (number + 1) * batch_size]
            yield self._batch(chosen, draws.manual_seed(seeds[number]))

    def ordered(
        self,
        batch_size: int = 512,
        *,
        augment: bool = False,
        generator: torch.Generator | None = None,
    ) -> Iterator[Batch]:
        """One pass in the order of ``index``, augmented only when asked."""
        for start in range(0, len(self), batch_size):
            chosen = torch.arange(start, min(start + batch_size, len(self)), device=self.device)
            yield self._batch(chosen, generator if augment else None)

    def forever(self, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Epoch after epoch."""
        while len(self):
            yield from self.epoch(batch_size, generator)

    def _batch(self, chosen: torch.Tensor, draws: torch.Generator | None) -> Batch:
        stored, y, rows = self.inputs[chosen], self.targets[chosen], self._rows[chosen]
        for change in self._before:
            stored = change.applied(stored, rows)
        maps = {name: whole[rows] for name, whole in self._maps.items()}
        if draws is not None:
            for augment, moving in zip(self.augment, self._moving, strict=True):
                begun = draws.get_state() if maps and moving else None
                stored, y = augment(stored, y, draws)
                if begun is not None:
                    maps = {n: augment(m, y, _again(begun))[0] for n, m in maps.items()}
        x = self.encoding.batch(stored)
        if self._after is not None:
            x = self._after.encoded(x, rows)
        if self.encoding.name == "images":
            x = x.contiguous(memory_format=self._layout)
        targets = {name: target_of(name, map_) for name, map_ in maps.items()}
        return Batch(x, y, rows, targets)

    def subset(self, positions: torch.Tensor) -> Pool:
        """The samples at ``positions`` of this pool."""
        return self._changed(
            index=self.index[positions.cpu()],
            inputs=self.inputs[positions],
            targets=self.targets[positions],
            _rows=self._rows[positions],
        )

    def with_maps(self, tasks: Sequence[str]) -> Pool:
        """The same samples, with the targets of other ``tasks`` in their batches: those of the
        clean images, moved as augmentation moves the images.

        Raises:
            HarnessError: the data have no such task, or a corruption has added samples.
        """
        if len(self) and int(self._rows.max()) >= len(self._clean.targets):
            raise HarnessError(
                "samples that a corruption adds have no clean image, so no target of other tasks"
            )
        maps = stored_maps(self._clean, tasks)
        return self._changed(_maps={name: whole.to(self.device) for name, whole in maps.items()})

    def with_targets(self, targets: torch.Tensor) -> Pool:
        """The same samples with other labels, int64 [n]."""
        return self._changed(targets=targets.to(self.device))

    def augmented(self, wanted: bool) -> Pool:
        """The same samples, with this pool's augmentation only where it is ``wanted``."""
        return self if wanted or not self.augment else self._changed(augment=[], _moving=[])

    def joined(self, other: Pool) -> Pool:
        """This pool's samples, then those of ``other``, rows of the same split.

        Raises:
            HarnessError: both change inputs, and not in the same way.
        """
        mine, its = self._functions(), other._functions()
        if mine and its and mine != its:
            raise HarnessError("pools whose inputs change in different ways cannot be joined")
        changing = self if mine else other
        return self._changed(
            _before=changing._before,
            _after=changing._after,
            index=torch.cat([self.index, other.index]),
            inputs=torch.cat([self.inputs, other.inputs]),
            targets=torch.cat([self.targets, other.targets]),
            _rows=torch.cat([self._rows, other._rows]),
        )

    def _functions(self) -> list[Function]:
        """What changes inputs on the way to a batch."""
        every = [*self._before, *([] if self._after is None else [self._after])]
        return [change.function for change in every]

    def _changed(self, **changes: object) -> Pool:
        changed = object.__new__(Pool)
        changed.__dict__ = {**self.__dict__, **changes}
        return changed


def _again(state: torch.Tensor) -> torch.Generator:
    """A generator that draws what one in ``state`` draws next."""
    draws = torch.Generator()
    draws.set_state(state)
    return draws


def _augmentation(use: Use, classes: int | None) -> Augmentation:
    """(inputs, labels, generator) to inputs and labels, as ``use`` says."""
    component = get("augmentations", use.name)
    function = partial(component.function, settings=use.settings)
    over = component.traits.over
    if over == "batch":
        return lambda stored, y, draws: (function(stored, generator=draws), y)
    if over == "training set" or classes is None:
        raise HarnessError(f"the augmentation {use.name!r} needs more than batches of samples")

    def mixed(
        stored: torch.Tensor, y: torch.Tensor, draws: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        labels = y if y.is_floating_point() else F.one_hot(y, classes).float()
        return function(stored, labels, generator=draws)

    return mixed
