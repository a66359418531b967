"""Judges a paper's claims by our numbers."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

SCALES = {"": 1.0, "%": 100.0, "points": 100.0, "s": 1.0, "h": 1 / 3600}


def judge(claim: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    """``claim`` with our number in its unit and a verdict.

    ``reproduced`` and ``deviates`` compare the mean over the named axes with the tolerance that the
    spec declared; ``not comparable`` says why nothing is compared.
    """
    ours = _ours(claim, results)
    reason = _why_not(results) if ours is not None else "no row of ours measures it"
    if ours is None or reason:
        verdict = "not comparable"
    else:
        near = abs(ours["mean"] - claim["value"]) <= claim["tolerance"]
        verdict = "reproduced" if near else "deviates"
    return {**claim, "ours": ours, "verdict": verdict, "reason": reason}


def _why_not(results: Mapping[str, Any]) -> str:
    if results["profile"] is not None:
        return f"the profile {results['profile']!r} is not the paper's protocol"
    if results["failed"]:
        return "some stages failed, so cells may be missing"
    return ""


def _ours(claim: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any] | None:
    """The mean over cells, for each seed and then over seeds; in the claim's unit."""
    seeds: dict[int, list[float]] = {}
    for row in results["rows"]:
        value = row["metrics"].get(claim["metric"])
        if row["method"] == claim["method"] and row["selected"] and value is not None:
            facts = {**row["cell"], "seed": row["seed"]}
            if all(facts.get(axis) == at for axis, at in claim["at"].items()):
                seeds.setdefault(row["seed"], []).append(value)
    if not seeds:
        return None
    from harness.report.results import statistics

    scale = SCALES[claim["unit"]]
    return dict(statistics([scale * fmean(values) for values in seeds.values()]))
