"""The SSD family with a threshold from the data: ASSD, LF, Potion's XLF, and its search."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Literal

from attrs import frozen

from harness.components import component, setting
from harness.lazy import nn, torch
from harness.methods.dampening import (
    Dampening,
    Ratios,
    adaptive_percentile,
    importances,
    settle,
)
from harness.methods.preparations.fisher import Fisher
from harness.methods.preparations.sensitivity import Sensitivity
from harness.methods.preparations.trajectory import Trajectory
from harness.methods.task import Task
from harness.spec.blocks import Use
from harness.spec.requests import Prepare

SOURCE = "Potion (arXiv 2406.09173), protocol section 5"
SEES = frozenset({"retain", "forget", "original weights"})


@frozen
class AdaptiveSSD(Dampening):
    """Settings of ``assd``, ``lfssd`` and ``xlf``."""

    importance_set: Literal["train", "retain"] = setting(
        "retain", doc="the other importance is of the retain set (Potion) or of all data (SSD)"
    )


# A member of the family is its importance; dampening and threshold are the same.
MEMBERS: Mapping[str, Callable[[AdaptiveSSD], Use]] = MappingProxyType(
    {
        "assd": lambda s: Use("preparations", "fisher", Fisher(**s.gradients())),
        "lfssd": lambda s: Use(
            "preparations", "sensitivity", Sensitivity(output="squared_norm", **s.gradients())
        ),
        "xlf": lambda s: Use(
            "preparations", "sensitivity", Sensitivity(output="norm", **s.gradients())
        ),
    }
)


def _requests(settings: AdaptiveSSD, member: str) -> tuple[Prepare, ...]:
    return importances(MEMBERS[member](settings), settings.importance_set)


def _ratios(model: nn.Module, task: Task, settings: AdaptiveSSD, member: str) -> Ratios:
    name = MEMBERS[member](settings).name
    forget, other = task.prepared(name, "forget"), task.prepared(name, settings.importance_set)
    return Ratios(model, forget, other)


def _dampened(model: nn.Module, task: Task, settings: AdaptiveSSD, member: str) -> nn.Module:
    """Dampen beyond the percentile of q = |Sf| / N."""
    ratios = _ratios(model, task, settings, member)
    share = len(task.forget) / (len(task.forget) + len(task.retain))
    percentile = adaptive_percentile(share)
    taken = ratios.dampen(ratios.percentile(percentile))
    task.facts |= {"percentile": percentile, "dampened": taken / ratios.count}
    return settle(model, task, settings)


@component(
    "methods",
    "assd",
    settings=AdaptiveSSD,
    source=f"{SOURCE}; Schoepf et al., adaptive SSD",
    sees=SEES,
    requests=lambda s: _requests(s, "assd"),
    work=lambda settings, sizes: (0, 0),
)
def assd(model: nn.Module, task: Task, settings: AdaptiveSSD) -> nn.Module:
    """SSD with lambda = 1 and alpha at the percentile 100 - ln(1 + 100 |Sf| / N) of the ratios."""
    return _dampened(model, task, settings, "assd")


@component(
    "methods",
    "lfssd",
    settings=AdaptiveSSD,
    source=f"{SOURCE}; LF-SSD, Foster et al. arXiv 2402.19308",
    sees=SEES,
    requests=lambda s: _requests(s, "lfssd"),
    work=lambda settings, sizes: (0, 0),
)
def lfssd(model: nn.Module, task: Task, settings: AdaptiveSSD) -> nn.Module:
    """ASSD with an importance that reads no labels: the squared norm of the logits."""
    return _dampened(model, task, settings, "lfssd")


@component(
    "methods",
    "xlf",
    settings=AdaptiveSSD,
    source=f"{SOURCE}: the paper's importance, resistant to outliers",
    sees=SEES,
    requests=lambda s: _requests(s, "xlf"),
    work=lambda settings, sizes: (0, 0),
)
def xlf(model: nn.Module, task: Task, settings: AdaptiveSSD) -> nn.Module:
    """ASSD with the norm of the logits, not squared, as what the importance differentiates."""
    return _dampened(model, task, settings, "xlf")


@frozen
class PTN(AdaptiveSSD):
    """Settings of ``ptn``."""

    around: Literal["assd", "lfssd", "xlf"] = setting(
        "xlf", doc="member of the SSD family whose threshold is searched"
    )
    rho: float = setting(
        0.2, doc="stop at this share of the base model's accuracy on the forget set", ge=0, lt=1
    )
    b_start: float = setting(25.0, doc="the search starts at q = (|Sf| / N) / b_start", gt=0)
    step: float = setting(1.1, doc="factor on q in each step (s_step)", gt=1)
    cap: int = setting(500, doc="largest number of steps", unit="steps", gt=0)
    compare: Literal["counts", "float32"] = setting(
        "counts",
        doc="numbers of right samples, exactly, or accuracies rounded to float32 as published "
        "code, which goes on at some ties",
        later=True,
    )


def _search(settings: PTN) -> tuple[Prepare, ...]:
    trajectory = Trajectory(
        importance=MEMBERS[settings.around](settings),
        importance_set=settings.importance_set,
        b_start=settings.b_start,
        step=settings.step,
        cap=settings.cap,
    )
    return (*_requests(settings, settings.around), Prepare("trajectory", trajectory, "forget"))


def _reached(accuracy: torch.Tensor, samples: int, settings: PTN) -> torch.Tensor:
    """Which steps, the base model's left out, have at most rho of its accuracy."""
    if settings.compare == "float32":
        rounded = accuracy.float().double()
        return rounded[1:] <= settings.rho * rounded[0]
    right = (accuracy * samples).round()
    # rho is the decimal number that the spec says: 0.15 of 20 is 3.
    return right[1:] <= math.floor(Fraction(str(settings.rho)) * int(right[0]))


@component(
    "methods",
    "ptn",
    settings=PTN,
    revision=2,
    source="Potion (arXiv 2406.09173), algorithm 1",
    sees=SEES,
    requests=_search,
    work=lambda settings, sizes: (0, 0),
)
def ptn(model: nn.Module, task: Task, settings: PTN) -> nn.Module:
    """Dampen until the accuracy on the forget set, as it was trained, is rho of the base model's.

    The first step of the shared trajectory whose accuracy is at most rho * a0 is taken, in the
    order of the search; without one, its last.
    """
    found = task.prepared("trajectory", "forget")
    reached = _reached(found["accuracy"], len(task.forget), settings).nonzero()
    at = int(reached[0]) + 1 if len(reached) else len(found["accuracy"]) - 1
    _ratios(model, task, settings, settings.around).dampen(float(found["threshold"][at]))
    task.facts |= {
        "steps": at,
        "percentile": float(found["percentile"][at]),
        "dampened": float(found["dampened"][at]),
    }
    task.series |= {
        name: found[name][1:].tolist() for name in ("percentile", "dampened", "accuracy")
    }
    return settle(model, task, settings)
