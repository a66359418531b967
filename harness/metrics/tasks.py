"""What a network that learns several tasks at once has for each of them."""

from __future__ import annotations

from typing import Literal

import attrs
from attrs import frozen

from harness.components import NoSettings, component, setting
from harness.data.tasks import CLASS, EDGES
from harness.errors import HarnessError
from harness.lazy import F, torch
from harness.metrics.accuracy import accuracy
from harness.metrics.evidence import Evidence
from harness.spec.requests import Prepare, Trained
from harness.training.sharpness import SAL, Sharpness

TRAININGS: dict[Literal["corrupted", "clean"], str] = {
    "corrupted": "sal_cosine",
    "clean": "sal_cosine_clean",
}


def _trained(evidence: Evidence) -> tuple[str, ...]:
    """The tasks that the unlearned model was trained on."""
    tasks: tuple[str, ...] = getattr(evidence.model("unlearned"), "trained", (CLASS,))
    return tasks


@component(
    "metrics",
    "multi_task_accuracy",
    source="top-1 accuracy, of the class beside other tasks (protocol section 7)",
    outputs=lambda s: ("multi_task_accuracy", "constant_accuracy"),
    docs=lambda s: {
        "multi_task_accuracy": "Accuracy on the clean test set of a model that has learned the "
        "class with other tasks; of another model there is none.",
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
    found = {"constant_accuracy": int(targets.bincount().max()) / len(targets)}
    if CLASS in tasks and len(tasks) > 1:
        found["multi_task_accuracy"] = accuracy(evidence, "test")
    return found


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
        f"{s.task}_error": f"Mean absolute error of {s.task} on the clean test set; of a model "
        "that has not learned it there is none.",
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
        return {}
    found, targets = evidence.maps("test", settings.task)
    constant = targets.median(0, keepdim=True).values
    errors = [(values - targets).abs().mean(dtype=torch.float64) for values in (found, constant)]
    return dict(zip(names, map(float, errors), strict=True))


@frozen
class TaskSharpness(Sharpness):
    """Settings of ``task_sharpness``: how SAL is measured; ``task`` is the one beside the class."""

    task: str = setting(EDGES, doc="task beside the class")


def _both(settings: TaskSharpness) -> tuple[Prepare, ...]:
    own = {field.name: getattr(settings, field.name) for field in attrs.fields(Sharpness)}
    return tuple(
        Prepare(SAL, Sharpness(**{**own, "task": task}), "train", Trained(f"{data} {task}", data))
        for data in TRAININGS
        for task in (CLASS, settings.task)
    )


@component(
    "metrics",
    "task_sharpness",
    settings=TaskSharpness,
    source="figure 5 of Ye et al. ICLR 2025 (arXiv 2509.08058) (protocol section 5.3)",
    outputs=lambda s: tuple(TRAININGS.values()),
    docs=lambda s: {
        name: f"Cosine between the SAL of the class's loss and that of {s.task}'s, layer by layer, "
        f"along the {data} training: 1 where the same layers are sharp for both."
        for data, name in TRAININGS.items()
    },
    reads=lambda s: (),
    requests=_both,
    unit="",
    range=(0, 1),
)
def task_sharpness(evidence: Evidence, settings: TaskSharpness) -> dict[str, float]:
    """How alike the layers are that two tasks of one network are sharp in: the mean over points of
    a training of the cosine of their SAL, perturbed and clean. Layers that only one of the tasks
    goes through, such as its head, do not count. Nothing where a task is not trained.

    Leaves the series ``sal_point`` (steps) and, for each training, its cosines.
    """
    if evidence.answers is None:
        raise HarnessError("task_sharpness needs the sharpness that it asks for")
    if not {CLASS, settings.task} <= set(_trained(evidence)):
        return {}
    found = {}
    for data, name in TRAININGS.items():
        one, other = (
            evidence.answers.prepared(SAL, "train", f"{data} {task}")
            for task in (CLASS, settings.task)
        )
        shared = ((one["sal"] > 0).any(0) & (other["sal"] > 0).any(0)).nonzero()[:, 0]
        left, right = (values["sal"][:, shared].double() for values in (one, other))
        cosines = F.cosine_similarity(left, right)
        evidence.series |= {"sal_point": one["steps"].tolist(), name: cosines.tolist()}
        found[name] = min(float(cosines.mean()), 1.0)
    return found
