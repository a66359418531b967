"""Judges a paper's claims by the intervals of our numbers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from math import inf

from attrs import frozen

from harness.report.coverage import in_words
from harness.report.pairs import apart, chosen, differences, fits, joined, means, range_of, values
from harness.report.record import Seed
from harness.report.results import MethodFacts, MetricFacts, Results
from harness.report.spread import Range, Statistics, statistics, with_n
from harness.report.verdict import VERDICTS, Pair, Verdict
from harness.spec.claims import (
    EVERY,
    SCALES,
    Claim,
    DirectionClaim,
    NumberClaim,
    OrderClaim,
    statement,
)

FEWEST = 3  # seeds of a verdict: with two, the interval is six times the difference between them
MOST = 1000  # seeds that are thought of


@frozen
class _Test:
    """An interval that a claim wants between ``low`` and ``high``."""

    found: Statistics
    bounds: Range
    low: float
    high: float
    pair: tuple[str, str] | None = None

    def verdict(self, n: int) -> str:
        """What the interval says, or would say with ``n`` seeds that spread in the same way."""
        found = self.found
        if n > found.n and found.mean is not None and found.std is not None:
            found = with_n(found.mean, found.std, n, self.bounds)
        if found.low is None or found.high is None:
            return "open"
        if self.low < found.low and found.high < self.high:
            return "reproduced"
        return "deviates" if found.high < self.low or self.high < found.low else "open"


def judge(claim: Claim, several: Sequence[Results], missing: Sequence[str] = ()) -> Verdict:
    """What ``several`` results, whose mean the claim is about, say of it.

    Each seed counts once, with its mean over cells and then over results. A number is
    ``reproduced`` when the whole 95 % interval of our mean lies within the tolerance and
    ``deviates`` when all of it lies outside. An order or a direction is judged by the intervals of
    differences between methods, paired by seed: ``reproduced`` when all of them lie on the claimed
    side, ``deviates`` when one lies on the other. Anything else is ``open``, with the fewest seeds
    that would settle it if mean and spread stayed as they are; up to two seeds give ``no verdict``.

    ``not comparable`` says why nothing is compared: ``missing`` results, cells or methods, and for
    numbers another scale than the paper's, or other data. Orders and directions are judged there
    too, but ``scaled``: what holds at a small scale is no verdict on the paper.
    """
    tests, left_out = ([], []) if missing else _tests(claim, several)
    lacking = [*missing, *_of_each(several, lambda results: _lacking(claim, results))]
    other = list(_of_each(several, _other_protocol))
    if isinstance(claim, NumberClaim):
        lacking += other + ([f"the paper's number is {claim.beyond}"] if claim.beyond else [])
    needed = None
    if lacking:
        verdict, reasons = "not comparable", lacking
    else:
        verdict, needed, reasons = _decided(tests)
        reasons += [f"not all have the seeds {', '.join(map(str, left_out))}"] if left_out else []
        reasons += other
    averaged = tuple(dict.fromkeys(axis for r in several for axis in _averaged(claim, r)))
    value: float | None = getattr(claim, "value", None)
    ours = tests[0].found if value is not None and tests and tests[0].found.n else None
    return Verdict(
        claim=claim.claim,
        statement=statement(claim, averaged or claim.over),
        metric=claim.metric,
        where=claim.where,
        verdict=verdict,
        reasons=tuple(reasons),
        averaged=averaged,
        scaled=bool(other) and verdict in VERDICTS[:3],
        seeds_needed=needed,
        method=getattr(claim, "method", ""),
        value=value,
        unit=getattr(claim, "unit", ""),
        tolerance=getattr(claim, "tolerance", 0.0),
        ours=ours,
        pairs=tuple(Pair(*test.pair, test.found) for test in tests if test.pair),
    )


def _decided(tests: Sequence[_Test]) -> tuple[str, int | None, list[str]]:
    """The verdict, the seeds that would settle it where it is open, and why."""
    n = min(test.found.n for test in tests)
    if n < FEWEST:
        return "no verdict", None, [f"{n} seed{'' if n == 1 else 's'}; {FEWEST} or more are needed"]
    verdict = _of_all(tests, n)
    if verdict != "open":
        return verdict, None, []
    # Intervals only become narrower with n, so that what is settled stays settled.
    thought_of = range(n + 1, MOST + 1)
    at = bisect_left(thought_of, True, key=lambda n: _of_all(tests, n) != "open")
    needed = thought_of[at] if at < len(thought_of) else None
    words = f"more than {MOST:,}" if needed is None else str(needed)
    return "open", needed, [f"{words} seeds would settle it if mean and spread stay as they are"]


def _of_all(tests: Iterable[_Test], n: int) -> str:
    said = {test.verdict(n) for test in tests}
    return "deviates" if "deviates" in said else "open" if "open" in said else "reproduced"


def _tests(claim: Claim, several: Sequence[Results]) -> tuple[list[_Test], list[Seed]]:
    """The intervals that decide, and the seeds that not all results have."""
    bounds = range_of(several[0], claim.metric)
    if isinstance(claim, NumberClaim):
        scale = SCALES[claim.unit]
        found, left_out = joined(
            means(values(r, claim.metric, claim.method, claim.at)) for r in several
        )
        span = (_times(scale, bounds[0]), _times(scale, bounds[1]))
        ours = statistics([scale * value for value in found.values()], span)
        slack = claim.tolerance + 1e-9 * max(1.0, abs(claim.value))  # 93.3 - 93.2 is not quite 0.1
        return [_Test(ours, span, claim.value - slack, claim.value + slack)], left_out
    span, tests = apart(bounds), []
    out: dict[Seed, None] = {}
    for pair in _pairs(claim, several[0]):
        parts = (
            differences(*(values(r, claim.metric, m, claim.at) for m in pair)) for r in several
        )
        found, left_out = joined(parts)
        out |= dict.fromkeys(left_out)
        ours = statistics([*found.values()], span)
        tests.append(_Test(ours, span, *_claimed(claim, several[0]), pair))
    return tests, list(out)


def _times(scale: float, bound: float | None) -> float | None:
    return None if bound is None else scale * bound


def _pairs(claim: OrderClaim | DirectionClaim, results: Results) -> list[tuple[str, str]]:
    """The methods whose differences decide, each with the one that it is compared with."""
    if isinstance(claim, OrderClaim):
        return list(pairwise(claim.methods))
    every = [label for label in results.order.methods if _approximate(results, label)]
    labels = every if claim.method == EVERY else [claim.method]
    return [(label, claim.against) for label in labels if label != claim.against]


def _approximate(results: Results, label: str) -> bool:
    """Whether a method changes the base model by what it sees of the data: "no method removes it"
    speaks neither of doing nothing nor of training again."""
    sees = results.methods.get(label, MethodFacts()).sees
    return "original weights" in sees and bool({"retain", "forget"} & {*sees})


def _claimed(claim: OrderClaim | DirectionClaim, results: Results) -> tuple[float, float]:
    """The side on which the differences have to lie."""
    if isinstance(claim, OrderClaim):
        low, high = 0.0, inf
    elif claim.claim == "removes":
        low, high = -claim.tolerance - 1e-9, inf
    else:
        low, high = -inf, -claim.tolerance
    return (low, high) if _better(claim, results) == "higher" else (-high, -low)


def _better(claim: OrderClaim | DirectionClaim, results: Results) -> str:
    return claim.better or results.metrics.get(claim.metric, MetricFacts()).better


def _of_each(several: Sequence[Results], say: Callable[[Results], Iterator[str]]) -> Iterator[str]:
    for results in several:
        before = f"{results.spec['id']}: " if len(several) > 1 else ""
        yield from (f"{before}{reason}" for reason in say(results))


def _other_protocol(results: Results) -> Iterator[str]:
    """Why numbers here are not those of the paper's protocol."""
    if results.profile is not None:
        yield f"the profile {results.profile!r} is not the paper's protocol"
    # More seeds than the spec's are what an open claim asks for.
    if changes := [change for change in results.changes if not change.startswith("seeds=")]:
        yield f"the command line changed the protocol ({', '.join(changes)})"
    if results.data.lossy:
        yield "the images are a lossy copy (JPEG)"


def _lacking(claim: Claim, results: Results) -> Iterator[str]:
    """Why the claim cannot be judged here at any scale."""
    axes = {*results.order.axes, "seed"}
    for axis in dict.fromkeys([*claim.over, *claim.at]):
        if axis not in axes:
            yield f"the axis {axis!r} is not swept here"
    methods = _methods(claim, results)
    for method in methods:
        if not values(results, claim.metric, method, claim.at):
            yield f"no row of ours measures {claim.metric} of {method}"
        elif lost := list(_lost(claim, method, results)):
            more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
            yield f"without a number: {' and '.join(lost[:3])}{more}"
    if not methods:
        yield "no method that unlearns runs here"
    if not isinstance(claim, NumberClaim) and _better(claim, results) == "none":
        yield f"nothing says which direction of {claim.metric} is better"
    if results.failed:
        yield "some stages failed, so cells may be missing"


def _methods(claim: Claim, results: Results) -> list[str]:
    if isinstance(claim, NumberClaim):
        return [claim.method]
    return list(dict.fromkeys(label for pair in _pairs(claim, results) for label in pair))


def _lost(claim: Claim, method: str, results: Results) -> Iterator[str]:
    """The points that should have a value and do not. A mean over the cells that happen to be
    there is another number than the paper's."""
    for seed, row in chosen(results, claim.metric, method, claim.at):
        if row.metrics.get(claim.metric) is None:
            yield in_words(method, row.cell, [seed])
    for gap in results.gaps:
        seeds = [seed for seed in gap.seeds if fits(claim.at, gap.cell, seed)]
        if gap.method == method and seeds:
            yield in_words(method, gap.cell, seeds)


def _averaged(claim: Claim, results: Results) -> tuple[str, ...]:
    """The axes that our mean runs over: those of ``over``, and any with several values that the
    claim does not mention."""
    cells = results.order.cells
    return tuple(
        axis
        for axis in results.order.axes
        if axis not in claim.at
        and (axis in claim.over or len({str(cell.get(axis)) for cell in cells}) > 1)
    )
