"""Poison trigger neutralisation: the accuracy on the forget set as more weights are dampened."""

from __future__ import annotations

import math
from typing import Literal

from attrs import frozen

from harness.components import component, setting
from harness.data.pool import Pool
from harness.lazy import nn, torch
from harness.methods.dampening import Ratios, adaptive_percentile, importances
from harness.methods.preparations._gradients import Gradients
from harness.methods.task import Task
from harness.spec.blocks import Use, use
from harness.spec.requests import Prepare


@frozen
class Trajectory:
    """Settings of ``trajectory``."""

    importance: Use = use("preparations", doc="which importance the ratios are of")
    importance_set: Literal["train", "retain"] = setting(
        "retain", doc="the other importance is of this set"
    )
    b_start: float = setting(25.0, doc="the search starts at q = (|Sf| / N) / b_start", gt=0)
    step: float = setting(1.1, doc="factor on q in each step (s_step)", gt=1)
    cap: int = setting(500, doc="largest number of steps", unit="steps", gt=0)


def _prepare(settings: Trajectory) -> tuple[Prepare, ...]:
    return importances(settings.importance, settings.importance_set)


@component(
    "preparations",
    "trajectory",
    settings=Trajectory,
    source="Potion, algorithm 1 (protocol section 5, PTN search)",
    requests=_prepare,
    work=lambda settings, count: ((settings.cap + 1) * count, 0),
)
def trajectory(
    model: nn.Module, task: Task, settings: Trajectory, pool: Pool
) -> dict[str, torch.Tensor]:
    """Dampen ever more weights until no discovered sample is predicted as it was trained.

    Step t dampens what exceeds the percentile 100 - ln(1 + 100 q) of the ratios, with
    q = (|Sf| / N) / b_start * step^(t - 1). Every stopping rule on the accuracy is a point of this
    one trajectory: it is followed until the accuracy is 0, or to ``cap``.

    The dampened set only grows, and each weight's factor does not depend on the step, so a step
    changes only the weights that it adds. Steps that add none keep their accuracy.

    Returns float64 tensors [steps + 1], the first entry being the base model: ``percentile``,
    ``threshold`` (alpha), ``dampened`` (share of all weights) and ``accuracy`` on the forget set,
    with the trigger and the labels that were trained on.
    """
    name, augment = settings.importance.name, _augments(settings.importance)
    ratios = Ratios(
        model, task.prepared(name, "forget"), task.prepared(name, settings.importance_set)
    )
    share = len(pool) / (len(pool) + len(task.retain))
    rows = [(100.0, math.inf, 0.0, _accuracy(model, pool, task, augment, 0))]
    taken = 0
    for step in range(settings.cap):
        if step and rows[-1][3] <= 0:
            break
        percentile = adaptive_percentile(share / settings.b_start * settings.step**step)
        threshold = ratios.percentile(percentile)
        added = ratios.dampen(threshold)
        same = added == taken and not augment
        accuracy = rows[-1][3] if same else _accuracy(model, pool, task, augment, step + 1)
        taken = added
        rows.append((percentile, threshold, added / ratios.count, accuracy))
        task.watch.step(step + 1, settings.cap, None)
    names = ("percentile", "threshold", "dampened", "accuracy")
    columns = torch.tensor(rows, dtype=torch.float64).T
    return {key: column.clone() for key, column in zip(names, columns, strict=True)}


def _augments(importance: Use) -> bool:
    return isinstance(importance.settings, Gradients) and importance.settings.augment


def _accuracy(model: nn.Module, pool: Pool, task: Task, augment: bool, step: int) -> float:
    """Share of the forget set that is predicted as it was trained; augmented as the importances."""
    draws = task.generator(f"accuracy {step}") if augment else None
    model.eval()
    with torch.inference_mode():
        right = [
            (model(batch.x).argmax(1) == batch.y).sum()
            for batch in pool.ordered(512, augment=augment, generator=draws)
        ]
    task.watch.meter.forward(len(pool))
    return int(torch.stack(right).sum()) / len(pool)
