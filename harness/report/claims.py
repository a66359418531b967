"""Judges a paper's claims by our numbers."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from harness.report.coverage import in_words
from harness.report.record import Seed
from harness.report.results import Results, Values, Verdict
from harness.report.spread import Statistics, statistics
from harness.spec.blocks import Claim

SCALES = {"": 1.0, "%": 100.0, "points": 100.0, "s": 1.0, "h": 1 / 3600}
Found = dict[Seed, list[float]]


def judge(claim: Claim, results: Results) -> Verdict:
    """``claim`` with our number in its unit and a verdict.

    ``reproduced`` and ``deviates`` compare our mean with the tolerance that the spec declared;
    ``not comparable`` says why nothing is compared. ``averaged`` names the axes that our mean runs
    over: those of ``over``, and any with several values that the claim does not mention.
    """
    found, lost = _values(claim, results)
    ours = _ours(found, SCALES[claim.unit])
    reasons = [*_why_not(claim, results, found), *_gaps(lost)]
    difference = None if ours is None or ours.mean is None else ours.mean - claim.value
    return Verdict(
        metric=claim.metric,
        method=claim.method,
        value=claim.value,
        unit=claim.unit,
        where=claim.where,
        over=claim.over,
        at=claim.at,
        tolerance=claim.tolerance,
        beyond=claim.beyond,
        ours=ours,
        difference=difference,
        averaged=_averaged(claim, results),
        verdict=_verdict(claim, None if reasons else difference),
        reason="; ".join(reasons),
    )


def _verdict(claim: Claim, difference: float | None) -> str:
    if difference is None:
        return "not comparable"
    slack = 1e-9 * max(1.0, abs(claim.value))  # 93.3 - 93.2 is not quite 0.1
    return "reproduced" if abs(difference) <= claim.tolerance + slack else "deviates"


def _why_not(claim: Claim, results: Results, found: Found) -> Iterator[str]:
    if results.profile is not None:
        yield f"the profile {results.profile!r} is not the paper's protocol"
    if results.changes:
        yield f"the command line changed the protocol ({', '.join(results.changes)})"
    if claim.beyond:
        yield f"the paper's number is {claim.beyond}"
    if results.data.lossy:
        yield "the images are a lossy copy (JPEG)"
    axes = {*results.order.axes, "seed"}
    for axis in dict.fromkeys([*claim.over, *claim.at]):
        if axis not in axes:
            yield f"the axis {axis!r} is not swept here"
    if not found:
        yield "no row of ours measures it"
    if results.failed:
        yield "some stages failed, so cells may be missing"


def _gaps(lost: list[str]) -> Iterator[str]:
    if lost:
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        yield f"without a number: {'; '.join(lost[:3])}{more}"


def _fits(claim: Claim, cell: Values, seed: Seed) -> bool:
    facts = {**cell, "seed": seed}
    return all(axis in facts and facts[axis] == at for axis, at in claim.at.items())


def _values(claim: Claim, results: Results) -> tuple[Found, list[str]]:
    """Our values by seed, and the points that should have one and do not."""
    found: Found = {}
    lost = []
    for row in results.rows:
        if not row.selected or row.method != claim.method:
            continue
        if _fits(claim, row.cell, row.seed):
            value = row.metrics.get(claim.metric)
            if value is None:
                lost.append(in_words(row.method, row.cell, [row.seed]))
            else:
                found.setdefault(row.seed, []).append(value)
    # A mean over the cells that happen to be there is another number than the paper's.
    for gap in results.gaps:
        seeds = [seed for seed in gap.seeds if _fits(claim, gap.cell, seed)]
        if gap.method == claim.method and seeds:
            lost.append(in_words(gap.method, gap.cell, seeds))
    return found, lost if found else []


def _ours(found: Found, scale: float) -> Statistics | None:
    """The mean over cells for each seed, and then over seeds; in the claim's unit."""
    if not found:
        return None
    # Cells of one seed share their base model: taken as independent they would narrow the interval.
    return statistics([scale * fmean(values) for values in found.values()])


def _averaged(claim: Claim, results: Results) -> tuple[str, ...]:
    cells = results.order.cells
    return tuple(
        axis
        for axis in results.order.axes
        if axis not in claim.at
        and (axis in claim.over or len({str(cell.get(axis)) for cell in cells}) > 1)
    )
