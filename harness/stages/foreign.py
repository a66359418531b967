"""Whether an artifact that was made elsewhere is that of a stage: asked before it is adopted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.components import get
from harness.lazy import torch
from harness.plan.kinds import Tensors, kind_of
from harness.plan.stage import Stage
from harness.store.records import wrong_with


def about(stage: Stage) -> dict[str, Any]:
    """What every record says of its stage."""
    return {
        "uses": [use.name for use in stage.uses],
        "revisions": [get(use.kind, use.name).revision for use in stage.uses],
        "inputs": dict(stage.inputs),
    }


def unlike(stage: Stage, content: Any, tensors: Tensors | None) -> str | None:
    """What tells unsealed ``content`` and ``tensors`` from an artifact of ``stage``, or None."""
    if wrong := wrong_with(content, kind_of(stage).record):
        return f"its record: {wrong}"
    return next(_unlike(stage, content["record"], tensors), None)


def _unlike(stage: Stage, record: Mapping[str, Any], tensors: Tensors | None) -> Iterator[str]:
    expected = about(stage)
    for name, value in expected.items():
        if record["stage"].get(name) != value:
            yield f"its record: stage.{name}: {record['stage'].get(name)!r}; {value!r} is needed"
    if tensors is None:
        return
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            yield f"its tensors: {name!r} is not finite"
    for fault in kind_of(stage).faults(stage, record, tensors):
        yield f"its tensors: {fault}"
