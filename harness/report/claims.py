"""Judges a paper's claims by the intervals of our numbers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf

from attrs import frozen

from harness.report.contenders import Contender, Group, by_seed, groups
from harness.report.coverage import in_words
from harness.report.pairs import apart, bounds_of, chosen, fits, joined, values
from harness.report.record import Seed
from harness.report.results import MetricFacts, Results, ScoreRow
from harness.report.spread import Bounds, Statistics, statistics, with_n
from harness.report.verdict import VERDICTS, Pair, Verdict
from harness.spec.claims import (
    SCALES,
    Claim,
    DirectionClaim,
    NumberClaim,
    OrderClaim,
    SameOrderClaim,
    UnknownClaim,
    statement,
)

FEWEST = 3  # seeds of a verdict: with two, the interval is six times the difference between them
MOST = 1000  # seeds that are thought of


@frozen
class _Test:
    """An interval that a claim wants between ``low`` and ``high``: of one contender, of its
    difference from another, or of how two metrics order several. ``left_out`` are the seeds that
    not all results have."""

    group: Group
    found: Statistics
    bounds: Bounds
    low: float
    high: float
    left_out: Sequence[Seed]

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
    differences between methods, or values of an axis, paired by seed: ``reproduced`` when all of
    them lie on the claimed side, ``deviates`` when one lies on the other. That two metrics order
    values alike is judged by the interval of Kendall's tau-b, which each seed has one of. Anything
    else is ``open``, with the fewest seeds that would settle it if mean and spread stayed as they
    are; up to two seeds give ``no verdict``.

    ``not comparable`` says why nothing is compared: ``missing`` results, cells or methods, and for
    numbers another scale than the paper's, or other data. Orders and directions are judged there
    too, but ``scaled``: what holds at a small scale is no verdict on the paper.
    """
    every = groups(claim, several[0]) if several else []
    tests = [] if missing else [_test(claim, group, several) for group in every]
    compared = [*{c.name: c for group in every for c in group}.values()]
    lacking = [*missing, *_of_each(several, lambda results: _lacking(claim, compared, results))]
    lacking += _of_several_sizes(claim, compared, several)
    other = list(_of_each(several, _other_protocol))
    alone = not isinstance(claim, OrderClaim | DirectionClaim)
    if isinstance(claim, NumberClaim):
        lacking += other + ([f"the paper's number is {claim.beyond}"] if claim.beyond else [])
    elif isinstance(claim, UnknownClaim):
        lacking += ["the paper's number is unknown"]
    verdict, needed, reasons = ("not comparable", None, lacking) if lacking else _decided(tests)
    if not lacking:
        reasons += other
    averaged = tuple(dict.fromkeys(axis for r in several for axis in _averaged(claim, r)))
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
        value=getattr(claim, "value", None),
        unit=getattr(claim, "unit", ""),
        tolerance=getattr(claim, "tolerance", 0.0),
        ours=tests[0].found if alone and tests and tests[0].found.n else None,
        axis=getattr(claim, "axis", ""),
        pairs=() if lacking or alone else tuple(_paired(tests, verdict)),
    )


def _paired(tests: Sequence[_Test], verdict: str) -> Iterator[Pair]:
    for test in tests:
        one, other = test.group
        said = verdict if verdict == "no verdict" else test.verdict(test.found.n)
        yield Pair(one.name, other.name, test.found, said)


def _decided(tests: Sequence[_Test]) -> tuple[str, int | None, list[str]]:
    """The verdict, the seeds that would settle it where it is open, and why."""
    n = min(test.found.n for test in tests)
    out = ", ".join(map(str, tests[0].left_out))
    noted = [f"not all have the seeds {out}"] if out else []
    if n < FEWEST:
        few = f"{n} seed{'' if n == 1 else 's'}; {FEWEST} or more are needed"
        return "no verdict", None, [few, *noted]
    if (verdict := _of_all(tests, n)) != "open":
        return verdict, None, noted
    # Intervals only become narrower with n, so that what is settled stays settled.
    more = range(n + 1, MOST + 1)
    at = bisect_left(more, True, key=lambda n: _of_all(tests, n) != "open")
    needed = more[at] if at < len(more) else None
    words = f"more than {MOST:,}" if needed is None else str(needed)
    settled = f"{words} seeds would settle it if mean and spread stay as they are"
    return "open", needed, [settled, *noted]


def _of_all(tests: Iterable[_Test], n: int) -> str:
    said = {test.verdict(n) for test in tests}
    return "deviates" if "deviates" in said else "open" if "open" in said else "reproduced"


def _test(claim: Claim, group: Group, several: Sequence[Results]) -> _Test:
    """The interval that decides about ``group``."""
    scale, bounds = 1.0, bounds_of(several[0], claim.metric)
    if isinstance(claim, NumberClaim):
        scale = SCALES[claim.unit]
        bounds = bounds[0] * scale, bounds[1] * scale
        slack = claim.tolerance + 1e-9 * max(1.0, abs(claim.value))  # 93.3 - 93.2 is not quite 0.1
        wanted = claim.value - slack, claim.value + slack
    elif isinstance(claim, UnknownClaim):
        wanted = -inf, inf
    elif isinstance(claim, SameOrderClaim):
        bounds, wanted = (-1.0, 1.0), (claim.tau, inf)
    else:
        bounds, wanted = apart(bounds), _claimed(claim, several[0])
    found, left_out = joined(by_seed(claim, group, results) for results in several)
    ours = statistics([scale * value for value in found.values()], bounds)
    return _Test(group, ours, bounds, *wanted, left_out)


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


def _lacking(claim: Claim, compared: Sequence[Contender], results: Results) -> Iterator[str]:
    """Why the claim cannot be judged here at any scale."""
    axes, by = {*results.order.axes, "seed"}, getattr(claim, "axis", "")
    for axis in dict.fromkeys([*claim.over, *claim.at, *filter(None, [by])]):
        if axis not in axes:
            yield f"the axis {axis!r} is not swept here"
    for contender in compared:
        lost: dict[str, None] = {}
        for metric in filter(None, [claim.metric, getattr(claim, "like", "")]):
            if not values(results, metric, contender.method, contender.at):
                where = f" at {by}={contender.name}" if by else ""
                yield f"no row of ours measures {metric} of {contender.method}{where}"
            else:
                lost |= dict.fromkeys(_lost(metric, contender, results))
        if lost:
            more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
            yield f"without a number: {' and '.join(list(lost)[:3])}{more}"
    if not compared:
        yield "no method that unlearns runs here"
    if isinstance(claim, OrderClaim | DirectionClaim) and _better(claim, results) == "none":
        yield f"nothing says which direction of {claim.metric} is better"
    if results.failed:
        yield "some stages failed, so cells may be missing"


def _of_several_sizes(
    claim: Claim, compared: Sequence[Contender], several: Sequence[Results]
) -> Iterator[str]:
    """Scores of populations of different sizes have no common scale."""
    sizes = {
        row.models["unlearned"]
        for results in several
        for contender in compared
        for _, row in chosen(results, claim.metric, contender.method, contender.at)
        if isinstance(row, ScoreRow) and "unlearned" in row.models
    }
    if len(sizes) > 1:
        yield f"scores of {' and '.join(map(str, sorted(sizes)))} models are not comparable"


def _lost(metric: str, contender: Contender, results: Results) -> Iterator[str]:
    """The points that should have a value and do not. A mean over the cells that happen to be
    there is another number than the paper's."""
    method, at = contender.method, contender.at
    for seed, row in chosen(results, metric, method, at):
        if row.metrics.get(metric) is None:
            yield in_words(method, row.cell, [seed])
    for gap in results.gaps:
        seeds = [seed for seed in gap.seeds if fits(at, gap.cell, seed)]
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
        and axis != getattr(claim, "axis", "")
        and (axis in claim.over or len({str(cell.get(axis)) for cell in cells}) > 1)
    )
