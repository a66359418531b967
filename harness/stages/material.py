"""The data of one cell and seed with its corruption in place, and the pools drawn from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import frozen

from harness.components import get
from harness.corruptions.types import Corruption
from harness.data.pool import Pool
from harness.data.types import DataRoot, Dataset, Split
from harness.errors import HarnessError, IntegrityError
from harness.lazy import torch
from harness.plan.stage import Cell, digest, identity
from harness.spec.blocks import Use
from harness.training.seeding import generator


@frozen(eq=False)
class Material:
    """The data of one cell and seed, with its corruption in place.

    ``train`` has the corrupted inputs and labels. ``retain`` and ``forget`` are rows of ``train``.
    ``trigger`` acts on stored samples or, where ``after``, on normalised batches.
    """

    dataset: Dataset
    train: Split
    corruption: Corruption
    train_rows: torch.Tensor
    validation_rows: torch.Tensor
    retain: torch.Tensor
    forget: torch.Tensor
    trigger: Callable[[torch.Tensor], torch.Tensor] | None
    after: bool
    target_class: int | None
    device: torch.device

    def pool(self, rows: torch.Tensor, augment: Sequence[Use]) -> Pool:
        """Training samples as the base model saw them: corrupted and augmented."""
        stamped = None
        if self.after:
            stamped = torch.zeros(len(self.train.targets), dtype=torch.bool)
            stamped[self.corruption.rows] = True
        return self._pool(self.train, rows, augment, stamped)

    def clean(self, split: Split, rows: torch.Tensor | None = None) -> Pool:
        """Samples of ``split`` as they are."""
        every = torch.arange(len(split.targets)) if rows is None else rows
        return self._pool(split, every, (), None)

    def triggered(self, split: Split, rows: torch.Tensor) -> Pool:
        """Samples of ``split`` with the trigger on each and their clean labels."""
        if self.trigger is None:
            raise HarnessError("the corruption has no trigger")
        if self.after:
            stamped = torch.ones(len(split.targets), dtype=torch.bool)
            return self._pool(split, rows, (), stamped)
        shown = Split(self.trigger(split.inputs[rows]), split.targets[rows])
        return self._pool(shown, torch.arange(len(rows)), (), None)

    def _pool(
        self,
        split: Split,
        rows: torch.Tensor,
        augment: Sequence[Use],
        stamped: torch.Tensor | None,
    ) -> Pool:
        return Pool(
            split,
            rows,
            encoding=self.dataset.encoding,
            device=self.device,
            augment=augment,
            stamp=self.trigger if stamped is not None else None,
            stamped=stamped,
            channels_last=self.device.type == "cuda",
        )


def material_of(
    cell: Cell,
    dataset: Dataset,
    train: Split,
    tensors: Mapping[str, torch.Tensor],
    root: DataRoot,
    device: torch.device,
) -> Material:
    """The material of ``cell``, from the tensors of its ``corrupt`` artifact.

    ``train`` is ``dataset.train`` with the corruption in place (``corrupted``).
    """
    corruption = corruption_of(tensors)
    draws = generator(data_seed(cell), "forget")
    forget = get("forget_sets", cell.forget.name).function(
        cell.forget.settings, tensors["train_rows"], corruption, train.targets, draws, root
    )
    traits = get("corruptions", cell.corruption.name).traits
    settings = cell.corruption.settings
    return Material(
        dataset=dataset,
        train=train,
        corruption=corruption,
        train_rows=tensors["train_rows"],
        validation_rows=tensors["validation_rows"],
        retain=without(tensors["train_rows"], forget),
        forget=forget,
        trigger=traits.trigger(settings, dataset) if traits.trigger else None,
        after=traits.when is not None and traits.when(settings) == "after",
        target_class=traits.target_class(settings) if traits.target_class else None,
        device=device,
    )


def data_seed(cell: Cell) -> str:
    """Seeds the draws of splits, corruption and forget set.

    It leaves out amounts, so that a smaller corrupted or forgotten set is part of a larger one.
    """
    return digest("data", identity(cell.data.dataset), str(cell.seed))


def check_corruption(tensors: Mapping[str, torch.Tensor], dataset: Dataset) -> None:
    """Raise IntegrityError unless rows and labels are of ``dataset`` and inputs like its own."""
    train = dataset.train
    limits = {
        "train_rows": len(train.targets),
        "validation_rows": len(train.targets),
        "rows": len(train.targets),
        "targets": len(dataset.classes),
    }
    for name, limit in limits.items():
        found = tensors.get(name)
        fits = found is not None and found.dtype == torch.int64 and found.dim() == 1
        if found is None or not fits or not bool(((found >= 0) & (found < limit)).all()):
            raise IntegrityError(f"the stored corruption does not fit the data, first at {name!r}")
    inputs = tensors.get("inputs", train.inputs[:0])
    like = inputs.dtype == train.inputs.dtype and inputs.shape[1:] == train.inputs.shape[1:]
    if not like or len(tensors["rows"]) != len(tensors["targets"]):
        raise IntegrityError("the stored corruption does not fit the data, first at 'inputs'")


def stored(corruption: Corruption) -> dict[str, torch.Tensor]:
    """The tensors of a ``corrupt`` artifact that ``corruption_of`` makes it from again."""
    tensors = {"rows": corruption.rows, "targets": corruption.targets}
    return tensors if corruption.inputs is None else {**tensors, "inputs": corruption.inputs}


def corruption_of(tensors: Mapping[str, torch.Tensor]) -> Corruption:
    """The corruption in the tensors of a ``corrupt`` artifact."""
    return Corruption(tensors["rows"], tensors["targets"], tensors.get("inputs"))


def corrupted(train: Split, corruption: Corruption) -> Split:
    """``train`` with the corruption's labels, and inputs where it has any, in place."""
    targets = train.targets.clone()
    targets[corruption.rows] = corruption.targets
    inputs = train.inputs
    if corruption.inputs is not None:
        inputs = inputs.clone()
        inputs[corruption.rows] = corruption.inputs
    return Split(inputs, targets)


def without(rows: torch.Tensor, removed: torch.Tensor) -> torch.Tensor:
    """The ``rows`` that are not among ``removed``, in order."""
    return rows[~torch.isin(rows, removed)]
