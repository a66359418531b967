"""What is wrong with claims, by the specs that they are about."""

from __future__ import annotations

from collections.abc import Iterator

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
    UnknownClaim,
)
from harness.spec.measures import measured, not_measured
from harness.spec.places import Document, Path, Problem
from harness.spec.sweeps import axis_names

Wrong = Iterator[tuple[Path, str]]


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
    axes = {*axis_names(spec), "seed"}
    for key, found in (("over", claim.over), ("at", claim.at)):
        for axis in found:
            if axis not in axes:
                what = f"{axis!r} is not swept{nearest(axis, axes)}"
                yield (key,), f"{what} (axes: {', '.join(sorted(axes))})"


def _methods(claim: Claim) -> list[tuple[str, str]]:
    """Every label that ``claim`` names, with the key that it stands under."""
    match claim:
        case OrderClaim():
            return [("methods", label) for label in claim.methods]
        case DirectionClaim():
            named = [] if claim.method == EVERY else [("method", claim.method)]
            return [*named, ("against", claim.against)]
    return [("method", claim.method)]


def _by_metric(claim: Claim, traits: MetricTraits) -> Wrong:
    """What ``claim`` says that its metric cannot be."""
    if isinstance(claim, NumberClaim):
        yield from _number(claim, traits)
        return
    if isinstance(claim, UnknownClaim):
        return
    if isinstance(claim, OrderClaim) and len(set(claim.methods)) < max(2, len(claim.methods)):
        yield ("methods",), "two or more methods are needed, each once"
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
