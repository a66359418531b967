"""Judges a paper's claims by our numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

from harness.report.coverage import in_words
from harness.report.spread import statistics

SCALES = {"": 1.0, "%": 100.0, "points": 100.0, "s": 1.0, "h": 1 / 3600}
Found = dict[int, list[float]]


def judge(claim: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    """``claim`` with our number in its unit and a verdict.

    ``reproduced`` and ``deviates`` compare our mean with the tolerance that the spec declared;
    ``not comparable`` says why nothing is compared. ``averaged`` names the axes that our mean runs
    over: those of ``over``, and any with several values that the claim does not mention.
    """
    found, lost = _values(claim, results)
    ours = _ours(found, SCALES[claim["unit"]])
    reasons = [*_why_not(claim, results, found), *_gaps(lost)]
    difference = None if ours is None else ours["mean"] - claim["value"]
    if reasons or difference is None:
        verdict = "not comparable"
    else:
        slack = 1e-9 * max(1.0, abs(claim["value"]))  # 93.3 - 93.2 is not quite 0.1
        verdict = "reproduced" if abs(difference) <= claim["tolerance"] + slack else "deviates"
    return {
        **claim,
        "ours": ours,
        "difference": difference,
        "averaged": _averaged(claim, results),
        "verdict": verdict,
        "reason": "; ".join(reasons),
    }


def _why_not(claim: Mapping[str, Any], results: Mapping[str, Any], found: Found) -> Iterator[str]:
    if results["profile"] is not None:
        yield f"the profile {results['profile']!r} is not the paper's protocol"
    if results.get("changes"):
        yield f"the command line changed the protocol ({', '.join(results['changes'])})"
    if claim.get("beyond"):
        yield f"the paper's number is {claim['beyond']}"
    if results["data"].get("lossy"):
        yield "the images are a lossy copy (JPEG)"
    axes = {*results["order"]["axes"], "seed"}
    for axis in dict.fromkeys([*claim["over"], *claim["at"]]):
        if axis not in axes:
            yield f"the axis {axis!r} is not swept here"
    if not found:
        yield "no row of ours measures it"
    if results["failed"]:
        yield "some stages failed, so cells may be missing"


def _gaps(lost: list[str]) -> Iterator[str]:
    if lost:
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        yield f"without a number: {'; '.join(lost[:3])}{more}"


def _fits(claim: Mapping[str, Any], cell: Mapping[str, Any], seed: int) -> bool:
    facts = {**cell, "seed": seed}
    return all(axis in facts and facts[axis] == at for axis, at in claim["at"].items())


def _values(claim: Mapping[str, Any], results: Mapping[str, Any]) -> tuple[Found, list[str]]:
    """Our values by seed, and the points that should have one and do not."""
    found: Found = {}
    lost = []
    for row in results["rows"]:
        if not row["selected"] or row["method"] != claim["method"]:
            continue
        if _fits(claim, row["cell"], row["seed"]):
            value = row["metrics"].get(claim["metric"])
            if value is None:
                lost.append(in_words({**row, "seeds": [row["seed"]]}))
            else:
                found.setdefault(row["seed"], []).append(value)
    for entry in results["missing"]:
        seeds = [seed for seed in entry["seeds"] if _fits(claim, entry["cell"], seed)]
        if entry["method"] == claim["method"] and seeds:
            lost.append(in_words({**entry, "seeds": seeds}))
    return found, lost if found else []


def _ours(found: Found, scale: float) -> dict[str, Any] | None:
    """The mean over cells for each seed, and then over seeds; in the claim's unit."""
    if not found:
        return None
    return dict(statistics([scale * fmean(values) for values in found.values()]))


def _averaged(claim: Mapping[str, Any], results: Mapping[str, Any]) -> list[str]:
    cells = results["order"]["cells"]
    return [
        axis
        for axis in results["order"]["axes"]
        if axis not in claim["at"]
        and (axis in claim["over"] or len({str(cell.get(axis)) for cell in cells}) > 1)
    ]
