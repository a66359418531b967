"""What is wrong with claims, by the specs that they are about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.components import get
from harness.components.contracts import MetricTraits, ends
from harness.errors import nearest
from harness.spec.blocks import Spec
from harness.spec.claims import (
    EVERY,
    SCALES,
    SHARES,
    Claim,
    DirectionClaim,
    NumberClaim,
    OrderClaim,
    SameOrderClaim,
    UnknownClaim,
)
from harness.spec.measures import measured, not_measured
from harness.spec.places import Document, Path, Problem
from harness.spec.sweeps import axis_names, cell_blocks, sweeps_in

Wrong = Iterator[tuple[Path, str]]
IN_ORDER = 4  # values that two metrics put in order: of three, one order in six is any given one


def check_claims(spec: Spec, document: Document) -> Iterator[Problem]:
    """What is wrong with the claims of ``spec``."""
    for i, claim in enumerate(spec.claims):
        if claim.specs:
            what = "a claim over several specs stands in a claims file, called ...claims.yaml"
            yield document.problem(("claims", i, "specs"), what)
        for path, what in wrong_in(claim, spec):
            yield document.problem(("claims", i, *path), what)


def wrong_in(claim: Claim, spec: Spec) -> Wrong:
    """Where in ``claim``, and what does not fit ``spec``."""
    labels = [method.label for method in spec.methods]
    for key, label in _methods(claim):
        if label not in labels:
            what = f"the method {label!r} does not run{nearest(label, labels)}"
            yield (key,), f"{what} (it runs: {', '.join(labels)})"
    names = measured(spec.metrics)
    if claim.metric in names:
        yield from _by_metric(claim, get("metrics", names[claim.metric].name).traits)
    else:
        yield ("metric",), not_measured(claim.metric, names)
    axes = axis_names(spec)
    for key, found in (("over", claim.over), ("at", claim.at)):
        for axis in found:
            if axis not in axes and axis != "seed":
                yield (key,), _not_swept(axis, [*axes, "seed"])
    if isinstance(claim, SameOrderClaim):
        if claim.like not in names or claim.like == claim.metric:
            what = f"{claim.like!r} is compared with itself"
            yield ("like",), what if claim.like in names else not_measured(claim.like, names)
        yield from _values(claim, spec, IN_ORDER)
    elif isinstance(claim, OrderClaim):
        yield from _order(claim, spec)


def _not_swept(axis: str, axes: Iterable[str]) -> str:
    what = f"{axis!r} is not swept{nearest(axis, axes)}"
    return f"{what} (axes: {', '.join(sorted(axes))})"


def _order(claim: OrderClaim, spec: Spec) -> Wrong:
    """Methods are in order, or values of an axis under one method."""
    given = [key for key in ("method", "axis", "values") if getattr(claim, key)]
    if given and claim.methods:
        what = f"found methods and {', '.join(given)}; name methods, or method, axis and values"
        yield ("methods",), what
    elif len(given) in (1, 2):
        yield (), f"found {', '.join(given)}; an order of values needs method, axis and values"
    elif given:
        yield from _values(claim, spec, 2)
    elif len(set(claim.methods)) < max(2, len(claim.methods)):
        what = "two or more methods are needed, each once; or method, axis and values"
        yield ("methods",), what


def _values(claim: OrderClaim | SameOrderClaim, spec: Spec, fewest: int) -> Wrong:
    """The axis is one of cells, and has the values, which are enough and not fixed elsewhere."""
    axes = axis_names(spec)
    if claim.axis not in axes:
        yield ("axis",), _not_swept(claim.axis, axes)
        return
    if claim.axis in (*claim.over, *claim.at):
        yield ("axis",), f"the values of {claim.axis!r} are compared; leave it out of over and at"
    swept = dict(sweeps_in(cell_blocks(spec)))[axes[claim.axis]]["sweep"]
    for i, value in enumerate(claim.values):
        if value not in swept:
            what = f"{value!r} is no value of {claim.axis!r}{nearest(str(value), map(str, swept))}"
            yield ("values", i), f"{what} (values: {', '.join(map(str, swept))})"
    found = list(map(str, claim.values or swept))
    if len(set(found)) < max(fewest, len(found)):
        what = f"found {', '.join(found)}; {fewest} or more values are needed, each once"
        yield ("values",), what


def _methods(claim: Claim) -> list[tuple[str, str]]:
    """Every label that ``claim`` names, with the key that it stands under."""
    match claim:
        case OrderClaim():
            named = [("method", claim.method)] if claim.method else []
            return [*named, *(("methods", label) for label in claim.methods)]
        case DirectionClaim():
            named = [] if claim.method == EVERY else [("method", claim.method)]
            return [*named, ("against", claim.against)]
    return [("method", claim.method)]


def _by_metric(claim: Claim, traits: MetricTraits) -> Wrong:
    """What ``claim`` says that its metric cannot be."""
    if isinstance(claim, NumberClaim):
        yield from _number(claim, traits)
        return
    if isinstance(claim, UnknownClaim | SameOrderClaim):
        return
    if isinstance(claim, DirectionClaim) and claim.method == claim.against:
        yield ("against",), f"{claim.against!r} is compared with itself"
    if claim.better is None and traits.better_of(claim.metric) == "none":
        what = f"no direction of {claim.metric!r} is better by itself; say better: higher or lower"
        yield ("metric",), what


def _number(claim: NumberClaim, traits: MetricTraits) -> Wrong:
    if traits.unit_of(claim.metric) == "share" and claim.unit not in SHARES:
        what = f"found {claim.unit!r}; {claim.metric!r} is a share (units: {', '.join(SHARES)})"
        yield ("unit",), what
        return
    low, high = (end * SCALES[claim.unit] for end in ends(traits.range_of(claim.metric)))
    if not low <= claim.value <= high:
        what = f"found {claim.value:g}; {claim.metric!r} goes from {low:g} to {high:g}"
        percent = '; for percent, say unit: "%"' if claim.unit == "share" else ""
        yield ("value",), f"{what} in the unit {claim.unit!r}{percent}"
