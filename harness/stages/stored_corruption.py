"""A corruption as the tensors of a ``corrupt`` artifact, and back.

``train_rows`` and ``validation_rows`` split the data set's training samples; the rest is what the
corruption left: ``rows``, ``targets``, ``inputs``, ``deltas``, ``rule`` (there or not),
``added.inputs``, ``added.targets``, and tensors of its own below ``own.``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.corruptions.checking import faults
from harness.corruptions.types import Corruption
from harness.data.types import Dataset, Split
from harness.errors import IntegrityError
from harness.lazy import torch

OWN = "own."
_SPLITS = ("train_rows", "validation_rows")
_PARTS = ("rows", "targets", "inputs", "deltas", "rule", "added.inputs", "added.targets")


def stored(corruption: Corruption) -> dict[str, torch.Tensor]:
    """The tensors that ``corruption_of`` makes it from again."""
    parts = {name: getattr(corruption, name) for name in ("rows", "targets", "inputs", "deltas")}
    if corruption.rule:
        parts["rule"] = torch.ones(1, dtype=torch.bool)
    if corruption.added is not None:
        parts["added.inputs"] = corruption.added.inputs
        parts["added.targets"] = corruption.added.targets
    own = {f"{OWN}{name}": value for name, value in corruption.tensors.items()}
    return {name: value for name, value in parts.items() if value is not None} | own


def corruption_of(tensors: Mapping[str, torch.Tensor]) -> Corruption:
    """The corruption in the tensors of a ``corrupt`` artifact."""
    added = None
    if "added.inputs" in tensors:
        added = Split(tensors["added.inputs"], tensors["added.targets"])
    return Corruption(
        tensors["rows"],
        tensors.get("targets"),
        tensors.get("inputs"),
        tensors.get("deltas"),
        "rule" in tensors,
        added,
        {n.removeprefix(OWN): v for n, v in tensors.items() if n.startswith(OWN)},
    )


def check_corruption(tensors: Mapping[str, torch.Tensor], dataset: Dataset, *, rule: bool) -> None:
    """Raise IntegrityError unless the tensors are a corruption of ``dataset``.

    ``rule`` says whether the corruption's component can make inputs on the fly.
    """
    for fault in stored_faults(tensors, dataset, rule=rule):
        raise IntegrityError(f"the stored corruption does not fit the data: {fault}")


def stored_faults(
    tensors: Mapping[str, torch.Tensor], dataset: Dataset, *, rule: bool
) -> Iterator[str]:
    """Why the tensors are not a corruption of ``dataset``, of which only the shape matters."""
    for name in tensors:
        if name not in (*_SPLITS, *_PARTS) and not name.startswith(OWN):
            yield f"nothing is known of {name!r}"
    for name in (*_SPLITS, "rows"):
        if name not in tensors:
            yield f"{name!r} is missing"
    if ("added.inputs" in tensors) != ("added.targets" in tensors):
        yield "added samples lack inputs or labels"
    total = len(dataset.train.targets)
    for name in _SPLITS:
        found = tensors[name]
        if found.dtype != torch.int64 or found.dim() != 1:
            yield f"{name!r} are no row numbers"
        if not bool(((found >= 0) & (found < total)).all()):
            yield f"{name!r} names a row that does not exist"
    every = torch.cat([tensors[name] for name in _SPLITS])
    if len(every) != total or len(every.unique()) != total:
        yield "training and validation rows are not the data set's, each once"
    yield from faults(corruption_of(tensors), dataset, tensors["train_rows"], rule=rule)
