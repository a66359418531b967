"""Learning-rate schedules: the factor on the peak rate at each step.

Every function takes the step (from 0), the number of steps and the steps of an epoch. With
``per: epoch`` the factor of an epoch's first step holds for all of it.
"""

from __future__ import annotations

import math
from typing import Literal

from attrs import frozen

from harness.components import NoSettings, component, setting

PER_DOC = "whether the rate changes at every step or at every epoch"


def _moment(per: str, step: int, epoch: int) -> int:
    return step if per == "step" else step // epoch * epoch


@frozen
class Constant:
    """Settings of ``constant``."""


@component("schedules", "constant", settings=Constant, source="no schedule")
def constant(settings: Constant, step: int, total: int, epoch: int) -> float:
    """1 at every step."""
    return 1.0


@frozen
class StepDown:
    """Settings of ``step``."""

    milestones: tuple[float, ...] = setting(
        (0.5, 0.75), doc="shares of the training after which the rate drops", gt=0, lt=1
    )
    gamma: float = setting(0.1, doc="factor of each drop", gt=0, lt=1)
    per: Literal["step", "epoch"] = setting("step", doc=PER_DOC)


@component("schedules", "step", settings=StepDown, source="He et al. 2016, section 4.2")
def step_down(settings: StepDown, step: int, total: int, epoch: int) -> float:
    """gamma to the number of milestones passed."""
    moment = _moment(settings.per, step, epoch)
    return settings.gamma ** sum(moment >= round(m * total) for m in settings.milestones)


@frozen
class Cosine:
    """Settings of ``cosine``."""

    warmup: float = setting(0.0, doc="share of the training with a linear warm-up", ge=0, lt=1)
    floor: float = setting(0.0, doc="factor at the end", ge=0, lt=1)
    per: Literal["step", "epoch"] = setting("step", doc=PER_DOC)


@component("schedules", "cosine", settings=Cosine, source="Loshchilov and Hutter 2017, eq. 5")
def cosine(settings: Cosine, step: int, total: int, epoch: int) -> float:
    """Half a cosine from 1 to ``floor`` after the warm-up."""
    moment, warm = _moment(settings.per, step, epoch), round(settings.warmup * total)
    if moment < warm:
        return (moment + 1) / (warm + 1)
    progress = (moment - warm) / max(total - warm, 1)
    return settings.floor + (1 - settings.floor) * (1 + math.cos(math.pi * progress)) / 2


@frozen
class OneCycle:
    """Settings of ``one_cycle``."""

    rise: float = setting(0.3, doc="share of the training until the peak", gt=0, lt=1)
    start_divisor: float = setting(25.0, doc="peak over initial rate", ge=1)
    end_divisor: float = setting(1e4, doc="initial over final rate", ge=1)
    shape: Literal["cosine", "linear"] = setting("cosine", doc="form of rise and fall")
    per: Literal["step", "epoch"] = setting("step", doc=PER_DOC)


@component(
    "schedules", "one_cycle", settings=OneCycle, source="Smith and Topin 2018; torch's OneCycleLR"
)
def one_cycle(settings: OneCycle, step: int, total: int, epoch: int) -> float:
    """From 1/start_divisor up to 1, then down to 1/(start_divisor * end_divisor)."""
    moment = _moment(settings.per, step, epoch)
    peak, last = settings.rise * total - 1, total - 1
    low = 1 / settings.start_divisor
    if moment <= peak:
        return _between(low, 1.0, moment / peak if peak > 0 else 1.0, settings.shape)
    progress = (moment - peak) / (last - peak) if last > peak else 1.0
    return _between(1.0, low / settings.end_divisor, progress, settings.shape)


def _between(start: float, end: float, progress: float, shape: str) -> float:
    if shape == "linear":
        return start + (end - start) * progress
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


@frozen
class Linear:
    """Settings of ``linear``."""

    warmup: float = setting(0.0, doc="share of the training with a linear warm-up", ge=0, lt=1)
    stretch: float = setting(
        1.0, doc="the fall reaches zero after this many times the training", ge=1
    )
    per: Literal["step", "epoch"] = setting("step", doc=PER_DOC)


@component(
    "schedules",
    "linear",
    settings=Linear,
    source="Potion's LinearLR (protocol section 4): stretch 1.25, warm-up 0.01",
)
def linear(settings: Linear, step: int, total: int, epoch: int) -> float:
    """(s + 1) / (w + 1) in w warm-up steps, then 1 - (s - w) / (stretch * total), not below 0."""
    moment, warm = _moment(settings.per, step, epoch), int(settings.warmup * total)
    if moment < warm:
        return (moment + 1) / (warm + 1)
    return max(0.0, 1 - (moment - warm) / (settings.stretch * total))


@component("schedules", "triangle", source="NeurIPS 2023 unlearning challenge, 2nd place")
def triangle(settings: NoSettings, step: int, total: int, epoch: int) -> float:
    """Up to 1 in the epoch in the middle and down again, never 0: for five, 1/3 2/3 1 2/3 1/3."""
    epochs, now = -(-total // epoch), step // epoch + 1
    peak = (epochs + 1) // 2
    return now / peak if now <= peak else (epochs + 1 - now) / (epochs + 1 - peak)
