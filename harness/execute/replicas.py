"""Which stages are computed together: those that differ in their seeds alone, as many as pay."""

from __future__ import annotations

from typing import Any

from harness.errors import UsageError
from harness.lazy import torch
from harness.plan.cost import memory_of, step_flops_of
from harness.plan.kinds import kind_of
from harness.plan.plan import Plan
from harness.plan.stage import Cell, canonical
from harness.spec.blocks import Spec
from harness.stages.options import Options

# Operations of one step of one model, and the most models that are trained together on a GPU: a
# step of many operations keeps it busy alone. A first guess, which nobody has measured yet.
MOST = ((1e9, 64), (2e10, 32), (1e11, 8), (3e11, 4))
MEMORY_SHARE = 0.7  # of a GPU, for what is trained together on it


def allowed(asked: int | None, spec: Spec, devices: tuple[str, ...]) -> int | None:
    """What ``--replicas`` comes to: a number, or None for as many as pay on a GPU.

    Raises UsageError where several are asked for and the spec wants identical bytes.
    """
    if asked is None and (spec.deterministic == "bitwise" or devices == ("cpu",)):
        return 1
    if asked is not None and asked > 1 and spec.deterministic == "bitwise":
        raise UsageError(
            f"--replicas {asked}: models that are trained together agree with those trained alone "
            "up to rounding, and the spec asks for identical bytes (deterministic: bitwise). Add "
            "--set deterministic=statistical, or leave --replicas out"
        )
    return asked


def alike(plan: Plan) -> dict[str, list[str]]:
    """The keys of the stages that differ from one in their seeds alone, by its key, where computing
    them together can be faster."""
    groups: dict[Any, list[str]] = {}
    for key, stage in plan.stages.items():
        if kind_of(stage).together(stage):
            cell, detail = stage.cell, canonical(dict(stage.detail))
            blocks = cell.data, cell.corruption, cell.model, cell.train, cell.forget
            groups.setdefault((stage.kind, stage.uses, detail, *blocks), []).append(key)
    return {key: group for group in groups.values() for key in group}


def most_together(cell: Cell, options: Options) -> int:
    """How many stages of ``cell`` are computed together."""
    if options.replicas is not None:
        return options.replicas
    by_table = next((count for limit, count in MOST if step_flops_of(cell) <= limit), 1)
    memory = torch.cuda.get_device_properties(options.devices[0]).total_memory
    workers = max(1, options.jobs // len(options.devices))
    return max(1, min(by_table, int(MEMORY_SHARE * memory / workers / memory_of(cell))))
