"""What a network that learns several tasks at once has for each of them."""

from __future__ import annotations

import math

from attrs import frozen

from harness.components import NoSettings, component, setting
from harness.data.tasks import EDGES
from harness.lazy import torch
from harness.metrics.accuracy import accuracy
from harness.metrics.evidence import Evidence


def _trained(evidence: Evidence) -> tuple[str, ...]:
    """The tasks that the unlearned model was trained on."""
    tasks: tuple[str, ...] = getattr(evidence.model("unlearned"), "trained", ("class",))
    return tasks


@component(
    "metrics",
    "multi_task_accuracy",
    source="top-1 accuracy, of the class beside other tasks (protocol section 7)",
    outputs=lambda s: ("multi_task_accuracy", "constant_accuracy"),
    docs=lambda s: {
        "multi_task_accuracy": "Accuracy on the clean test set of a model that has learned the "
        "class with other tasks; undefined for one that has not.",
        "constant_accuracy": "Share of the most frequent class of the test set: what always saying "
        "it would have.",
    },
    reads=lambda s: ("test",),
    better={"multi_task_accuracy": "higher", "constant_accuracy": "none"},
    unit="share",
    range=(0, 1),
)
def multi_task_accuracy(evidence: Evidence, settings: NoSettings) -> dict[str, float]:
    """Accuracy of the class among several tasks, and that of a constant predictor."""
    tasks, targets = _trained(evidence), evidence.targets("test")
    among = "class" in tasks and len(tasks) > 1
    return {
        "multi_task_accuracy": accuracy(evidence, "test") if among else math.nan,
        "constant_accuracy": int(targets.bincount().max()) / len(targets),
    }


@frozen
class TaskError:
    """Settings of ``task_error``."""

    task: str = setting(EDGES, doc="task beside the class; names begin with it")


@component(
    "metrics",
    "task_error",
    settings=TaskError,
    source="mean absolute error, of a task beside the class (protocol sections 7 and 9)",
    outputs=lambda s: (f"{s.task}_error", f"{s.task}_constant_error"),
    docs=lambda s: {
        f"{s.task}_error": f"Mean absolute error of {s.task} on the clean test set; undefined for "
        "a model that has not learned it.",
        f"{s.task}_constant_error": "That of the best map that is the same for all images: the "
        "median of the test set at each place.",
    },
    reads=lambda s: ("test",),
    better="lower",
    range=(0, None),
)
def task_error(evidence: Evidence, settings: TaskError) -> dict[str, float]:
    """Mean absolute error of another task than the class, and that of a constant predictor."""
    names = f"{settings.task}_error", f"{settings.task}_constant_error"
    if settings.task not in _trained(evidence):
        return dict.fromkeys(names, math.nan)
    found, targets = evidence.maps("test", settings.task)
    constant = targets.median(0, keepdim=True).values
    errors = [(values - targets).abs().mean(dtype=torch.float64) for values in (found, constant)]
    return dict(zip(names, map(float, errors), strict=True))
