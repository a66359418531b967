"""One network that learns other tasks of an image beside its class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import attrs
from attrs import frozen

from harness.components import Facts, Misfit, component, get, setting
from harness.data.encodings import Images
from harness.data.tasks import EDGES, check_tasks
from harness.errors import HarnessError
from harness.lazy import nn
from harness.spec.blocks import Use, use


@frozen
class MultiTask:
    """Settings of ``multi_task``."""

    trunk: Use = use(
        "models", "resnet18", doc="the network that tasks share; its output is the class's"
    )
    tasks: tuple[str, ...] = setting(
        (EDGES,), doc="tasks beside the class: edges of the clean image, or a map of the data set"
    )
    side: int = setting(8, doc="side of the maps that are learned", unit="pixels", gt=0)
    width: int = setting(32, doc="channels of the hidden layer of a head", unit="channels", gt=0)
    weighting: Literal["fixed", "uncertainty"] = setting(
        "fixed", doc="how losses are summed: by their weights alone, or by learned spreads as well"
    )
    class_weight: float = setting(1.0, doc="weight of the class's loss; 0 does not train it", ge=0)
    task_weight: float = setting(
        1.0, doc="weight of the loss of each other task; 0 does not train them", ge=0
    )


def misfits(settings: MultiTask, facts: Facts) -> Iterator[Misfit]:
    """A trunk that does not fit, tasks that the data do not have, or nothing to train on."""
    trunk = get("models", settings.trunk.name).traits
    if trunk.gives is not None or facts.encoding.name not in trunk.takes:
        yield Misfit("trunk", f"{settings.trunk.name!r} gives no logits of {facts.encoding.name}")
    else:
        for misfit in trunk.check(settings.trunk.settings, facts):
            yield attrs.evolve(misfit, setting="trunk")
    try:
        check_tasks(settings.tasks, facts.maps)
    except HarnessError as problem:
        yield Misfit("tasks", str(problem))
    if not settings.class_weight and not settings.task_weight:
        yield Misfit("task_weight", "one of class_weight and task_weight has to be above 0")


def _without_weights(settings: MultiTask) -> MultiTask:
    trunk = settings.trunk
    same = get("models", trunk.name).traits.architecture(trunk.settings)
    return attrs.evolve(settings, trunk=Use(trunk.kind, trunk.name, same))


@component(
    "models",
    "multi_task",
    settings=MultiTask,
    source="one trunk with a head for each task; uncertainty weights of Kendall et al. 2018 "
    "(arXiv 1705.07115) as Mod-Squad sums them: loss / (2 s^2) + log(1 + s^2)",
    check=misfits,
    architecture=_without_weights,
)
def multi_task(settings: MultiTask, encoding: Images, classes: int) -> nn.Module:
    """The trunk's classifier, and for each other task a map of one channel from its last maps.

    float32 [B, C, H, W] to logits [B, classes]. A head is a 1x1 convolution of the trunk's last
    maps, ReLU, and a linear layer to side x side. Tasks are learned by mean absolute error against
    the mean of the target over each part, in every training that has no loss of its own: methods
    and corruptions that have one see the classifier. Costs are those of the classifier.

    Raises:
        HarnessError: the trunk has no maps, as a network of linear layers.
    """
    from harness.models._multi_task import MultiTask as Module

    trunk = settings.trunk
    return Module(
        get("models", trunk.name).function(trunk.settings, encoding, classes),
        encoding.example(),
        settings.tasks,
        settings.side,
        settings.width,
        {"class": settings.class_weight, **dict.fromkeys(settings.tasks, settings.task_weight)},
        settings.weighting == "uncertainty",
    )
