"""Whether a corruption fits the data: asked when it is made, and when it is read again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption
from harness.data.types import Dataset, Split
from harness.errors import HarnessError
from harness.lazy import torch


def checked(found: Any, task: CorruptionTask, *, rule: bool) -> Corruption:
    """``found`` with its tensors on the CPU, once it fits ``task``; ``rule``: it may have one.

    Raises:
        HarnessError: it does not fit; the message names the corruption and the first fault.
    """
    if not isinstance(found, Corruption):
        raise HarnessError(
            f"the corruption {task.corruption!r} gave {type(found).__name__}; "
            "a Corruption is needed"
        )
    if found.added is not None and not isinstance(found.added, Split):
        raise HarnessError(
            f"the corruption {task.corruption!r}: added is {type(found.added).__name__}; "
            "a Split is needed"
        )
    result = _plain(found)
    for fault in faults(result, task.dataset, task.rows, rule=rule):
        raise HarnessError(f"the corruption {task.corruption!r}: {fault}")
    return result


def faults(
    found: Corruption, dataset: Dataset, training: torch.Tensor, *, rule: bool
) -> Iterator[str]:
    """What is wrong with ``found`` for ``dataset``, whose training rows are ``training``."""
    rows = found.rows
    if (what := _integers(rows, "rows")) is not None:
        yield what
        return
    if len(rows.unique()) != len(rows):
        yield "a row is given twice"
    if not bool(torch.isin(rows, training).all()):
        wrong = rows[~torch.isin(rows, training)][0]
        yield f"row {int(wrong)} is not among the {len(training):,} training rows"
    if found.targets is not None:
        yield from _labels(found.targets, len(rows), dataset, "targets")
    given = [name for name in ("inputs", "deltas") if getattr(found, name) is not None]
    given += ["rule"] if found.rule else []
    if len(given) > 1:
        yield f"{' and '.join(given)} are given; at most one of inputs, deltas, rule is possible"
    if found.rule and not rule:
        yield "it says that a rule makes its inputs, but declares no trait 'rule'"
    if found.inputs is not None:
        yield from _inputs(found.inputs, len(rows), dataset, "inputs")
    if found.deltas is not None:
        yield from _deltas(found.deltas, len(rows), dataset)
    if found.added is not None:
        yield from _inputs(found.added.inputs, None, dataset, "added inputs")
        yield from _labels(found.added.targets, len(found.added.inputs), dataset, "added targets")
    for name, value in found.tensors.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            yield f"its own tensors are tensors by name; found {type(value).__name__} at {name!r}"


def _integers(values: Any, name: str) -> str | None:
    if isinstance(values, torch.Tensor) and values.dtype == torch.int64 and values.dim() == 1:
        return None
    return f"{name} are {_described(values)}; int64 [m] is needed"


def _labels(labels: Any, count: int, dataset: Dataset, name: str) -> Iterator[str]:
    if (what := _integers(labels, name)) is not None:
        yield what
        return
    classes = len(dataset.classes)
    if len(labels) != count:
        yield f"{len(labels)} {name} for {count} samples"
    if not bool(((labels >= 0) & (labels < classes)).all()):
        wrong = labels[(labels < 0) | (labels >= classes)][0]
        yield f"{name}: class {int(wrong)} does not exist; there are {classes}"


def _inputs(inputs: Any, count: int | None, dataset: Dataset, name: str) -> Iterator[str]:
    own = dataset.train.inputs
    kinds = [own.dtype, torch.float32] if dataset.encoding.name == "images" else [own.dtype]
    yield from _like(inputs, kinds, count, own, name)


def _deltas(deltas: Any, count: int, dataset: Dataset) -> Iterator[str]:
    if dataset.encoding.name == "tokens":
        yield "deltas cannot be added to tokens"
        return
    yield from _like(deltas, [torch.float32], count, dataset.train.inputs, "deltas")


def _like(
    values: Any, kinds: list[torch.dtype], count: int | None, own: torch.Tensor, name: str
) -> Iterator[str]:
    shape = tuple(own.shape[1:])
    kind = isinstance(values, torch.Tensor) and values.dtype in kinds
    if not kind or tuple(values.shape[1:]) != shape or values.dim() != own.dim():
        allowed = " or ".join(str(kind).removeprefix("torch.") for kind in kinds)
        sizes = ", ".join(map(str, ("m", *shape)))
        yield f"{name} are {_described(values)}; {allowed} [{sizes}] is needed"
    elif count is not None and len(values) != count:
        yield f"{len(values)} {name} for {count} rows"
    elif values.is_floating_point() and not bool(values.isfinite().all()):
        yield f"{name} are not finite"


def _described(values: Any) -> str:
    if not isinstance(values, torch.Tensor):
        return type(values).__name__
    return f"{str(values.dtype).removeprefix('torch.')} {list(values.shape)}"


def _plain(found: Corruption) -> Corruption:
    """On the CPU and without gradients, as an artifact holds it."""

    def cpu(value: Any) -> Any:
        return value.detach().cpu() if isinstance(value, torch.Tensor) else value

    added = found.added and Split(cpu(found.added.inputs), cpu(found.added.targets))
    parts = {name: cpu(getattr(found, name)) for name in ("rows", "targets", "inputs", "deltas")}
    own = {name: cpu(value) for name, value in found.tensors.items()}
    return attrs.evolve(found, **parts, added=added, tensors=own)
