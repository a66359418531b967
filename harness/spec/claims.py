"""What a paper states, in forms that results can be held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs
from attrs import frozen

from harness.components import setting

SCALES = {"share": 1.0, "%": 100.0, "points": 100.0, "s": 1.0, "h": 1 / 3600, "": 1.0}
SHARES = ("share", "%", "points")
EVERY = "*"


@frozen
class AnyClaim:
    """What every claim says."""

    metric: str = setting(doc="measured name, as in the results")
    where: str = setting(doc="place in the paper: table, row, figure, section")
    over: tuple[str, ...] = setting((), doc="axes that it is averaged over")
    at: Mapping[str, Any] = setting(attrs.Factory(dict), doc="value of an axis that it is for")
    specs: tuple[str, ...] = setting(
        (), doc="in a claims file: ids of the specs whose results are averaged"
    )


@frozen
class NumberClaim(AnyClaim):
    """A number that the paper states."""

    claim: Literal["number"] = setting("number", doc="the paper states a number")
    method: str = setting(doc="label of the method")
    value: float = setting(doc="the paper's number, in ``unit``")
    unit: Literal["share", "%", "points", "s", "h", ""] = setting(
        doc='unit of the value: share, % or points (100 times a share), s, h, "" for a plain number'
    )
    tolerance: float = setting(doc="largest deviation that still counts, in ``unit``", ge=0)
    beyond: str = setting(
        "", doc="what the number covers and no spec does, which makes it not comparable"
    )


@frozen
class UnknownClaim(AnyClaim):
    """A number that the paper reports, and that whoever wrote the spec could not read."""

    claim: Literal["unknown"] = setting(doc="the paper reports a number that could not be read")
    method: str = setting(doc="label of the method")


Better = Literal["higher", "lower"] | None


@frozen
class OrderClaim(AnyClaim):
    """Which methods, or which values of an axis under one method, are better than which."""

    claim: Literal["order"] = setting(
        doc="each method, or value of the axis, is better than the next"
    )
    methods: tuple[str, ...] = setting((), doc="labels of methods, the best first")
    method: str = setting("", doc="with ``axis``: label of the method whose numbers are compared")
    axis: str = setting("", doc="axis whose values are compared, in place of ``methods``")
    values: tuple[Any, ...] = setting((), doc="values of the axis, the best first")
    better: Better = setting(None, doc="direction that is better, where the metric has none")


@frozen
class SameOrderClaim(AnyClaim):
    """That one metric is the larger at a value of an axis, the larger another is there."""

    claim: Literal["same_order"] = setting(
        doc="``metric`` and ``like`` order the values of the axis alike, by Kendall's tau-b"
    )
    like: str = setting(doc="measured name of the other metric")
    method: str = setting(doc="label of the method whose numbers are compared")
    axis: str = setting(doc="axis whose values are put in order")
    values: tuple[Any, ...] = setting((), doc="values of the axis, four or more; all if left out")
    tau: float = setting(
        0.5,
        doc="what tau-b has to exceed; at 0.5, three of four pairs are in one order",
        ge=0,
        lt=1,
    )


@frozen
class DirectionClaim(AnyClaim):
    """Whether methods reach a reference, as retraining, or stay worse than it."""

    claim: Literal["removes", "does_not_remove"] = setting(
        doc="the method is not worse than ``against`` by more than the tolerance, or it is"
    )
    method: str = setting(doc='label of the method, or "*" for all that change the base model')
    against: str = setting(doc="label of the method that it is compared with")
    tolerance: float = setting(0.0, doc="in the metric's own unit", ge=0)
    better: Better = setting(None, doc="direction that is better, where the metric has none")


Claim = NumberClaim | UnknownClaim | OrderClaim | SameOrderClaim | DirectionClaim
KINDS: Mapping[str, type] = {
    "number": NumberClaim,
    "unknown": UnknownClaim,
    "order": OrderClaim,
    "same_order": SameOrderClaim,
    "removes": DirectionClaim,
    "does_not_remove": DirectionClaim,
}


def statement(claim: Claim, over: Sequence[str] | None = None) -> str:
    """``claim`` in words; ``over`` are the axes that it is averaged over, if not its own."""
    match claim:
        case NumberClaim():
            number = f"{claim.value:g} {claim.unit}".strip()
            said = f"{claim.metric} of {claim.method} is {number} ± {claim.tolerance:g}"
        case UnknownClaim():
            said = f"{claim.metric} of {claim.method} is reported: unknown"
        case OrderClaim():
            said = f"{' before '.join(map(str, claim.values or claim.methods))} in {claim.metric}"
            better = f" ({claim.better} first)" if claim.better else ""
            said += f" of {claim.method} by {claim.axis}{better}" if claim.axis else ""
        case SameOrderClaim():
            which = f" {', '.join(map(str, claim.values))}" if claim.values else ""
            said = (
                f"{claim.metric} of {claim.method} orders {claim.axis}{which} as {claim.like} does "
                f"(Kendall's tau-b above {claim.tau:g})"
            )
        case DirectionClaim():
            said = _reaching(claim)
    over = claim.over if over is None else over
    parts = [f"at {axis}={value}" for axis, value in claim.at.items()]
    parts += [f"over {', '.join(over)}"] if over else []
    parts += [f"averaged over the specs {' and '.join(claim.specs)}"] if claim.specs else []
    return ", ".join([said, *parts])


def _reaching(claim: DirectionClaim) -> str:
    every, removes = claim.method == EVERY, claim.claim == "removes"
    who = ("every method" if removes else "no method") if every else claim.method
    verb = "reaches" if removes or every else "does not reach"
    slack = f" to within {claim.tolerance:g}" if claim.tolerance else ""
    return f"{who} {verb} {claim.against} in {claim.metric}{slack}"
