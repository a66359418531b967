"""What a claim compares, in the groups that one interval each decides."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from attrs import frozen

from harness.report.order import as_key
from harness.report.pairs import differences, kendall, means, values
from harness.report.record import Seed
from harness.report.results import MethodFacts, Results, Values
from harness.report.weights import weights_of
from harness.spec.claims import EVERY, Claim, DirectionClaim, OrderClaim, SameOrderClaim


@frozen
class Contender:
    """A method in the cells at ``at``, called by its label, or by the value of the axis that it is
    compared at."""

    name: str
    method: str
    at: Values


Group = tuple[Contender, ...]


def groups(claim: Claim, results: Results) -> list[Group]:
    """One alone where its number is judged, two where their difference is, all values of an axis
    where their order is."""

    def of(*labels: str) -> Group:
        return tuple(Contender(label, label, claim.at) for label in labels)

    match claim:
        case OrderClaim(axis=""):
            return [of(*pair) for pair in pairwise(claim.methods)]
        case OrderClaim():
            return list(pairwise(_by_value(claim, results)))
        case SameOrderClaim():
            return [_by_value(claim, results)]
        case DirectionClaim(method=method) if method == EVERY:
            every = (label for label in results.order.methods if _approximate(results, label))
            return [of(label, claim.against) for label in every if label != claim.against]
        case DirectionClaim():
            return [of(claim.method, claim.against)]
    return [of(claim.method)]


def _by_value(claim: OrderClaim | SameOrderClaim, results: Results) -> Group:
    every = {as_key(cell.get(claim.axis)): cell.get(claim.axis) for cell in results.order.cells}
    return tuple(
        Contender(str(value), claim.method, {**claim.at, claim.axis: value})
        for value in claim.values or every.values()
    )


def _approximate(results: Results, label: str) -> bool:
    """Whether a method changes the base model by what it sees of the data: "no method removes it"
    speaks neither of doing nothing nor of training again."""
    sees = results.methods.get(label, MethodFacts()).sees
    return "original weights" in sees and bool({"retain", "forget"} & {*sees})


def by_seed(claim: Claim, group: Group, results: Results) -> Mapping[Seed, float]:
    """What an interval is of: the mean over cells, the difference of two, or tau-b."""
    ours = _means(results, claim.metric, group)
    match claim:
        case SameOrderClaim():
            other = _means(results, claim.like, group)
            return {seed: kendall(ours[seed], other[seed]) for seed in ours if seed in other}
        case OrderClaim(axis=axis) if axis:  # cells at two values are never the same
            return {seed: first - second for seed, (first, second) in ours.items()}
    if len(group) == 1:
        return {seed: mean for seed, (mean,) in ours.items()}
    mine, against = (values(results, claim.metric, c.method, c.at) for c in group)
    return differences(mine, against, weights_of(results))


def _means(results: Results, metric: str, group: Group) -> dict[Seed, list[float]]:
    """The mean over cells of each contender, by the seeds that all have."""
    weigh = weights_of(results)
    each = [means(values(results, metric, c.method, c.at), weigh) for c in group]
    shared = (seed for seed in each[0] if all(seed in found for found in each))
    return {seed: [found[seed] for found in each] for seed in shared}
