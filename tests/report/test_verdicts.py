"""A claim is compared only with all that it speaks of."""

from __future__ import annotations

import math
from typing import Any

import pytest
from report.sample import DATA, claim, rows, sample

from harness.report.results import Verdict


def judged(found: Any = None, facts: dict | None = None, **changes: Any) -> Verdict:
    [verdict] = sample(found, [claim(**changes)], **(facts or {})).verdicts
    return verdict


def test_our_number_is_the_mean_over_the_axes_and_then_over_seeds() -> None:
    found = judged()
    chosen = [r for r in rows() if r["method"] == "ssd" and r["selected"]]
    means = [
        100 * sum(r["metrics"]["clean_accuracy"] for r in chosen if r["seed"] == seed) / 4
        for seed in (0, 1, 2)
    ]
    assert found.ours.mean == pytest.approx(sum(means) / 3)
    assert found.ours.n == 3
    assert found.verdict == "reproduced"
    assert found.difference == pytest.approx(found.ours.mean - 90)
    assert found.averaged == ("count", "discovered")


def test_a_tolerance_holds_at_its_edge_despite_rounding() -> None:
    every = [{**r, "metrics": {"clean_accuracy": 0.933}} for r in rows()]
    assert judged(every, value=93.2, tolerance=0.1).verdict == "reproduced"
    assert judged(every, value=93.2, tolerance=0.09).verdict == "deviates"


@pytest.mark.parametrize(
    ("unit", "ours"), [("", 0.5), ("%", 50), ("points", 50), ("h", 0.5 / 3600)]
)
def test_units(unit: str, ours: float) -> None:
    found = judged(metric="mia_loss", unit=unit, value=ours, tolerance=0)
    assert found.ours.mean == pytest.approx(ours)
    assert found.verdict == "reproduced"


def test_an_axis_that_is_not_named_is_said_to_be_averaged_over() -> None:
    assert judged(over=[], at={"count": 100}).averaged == ("discovered",)


def lacking(metrics: bool) -> list[dict[str, Any]]:
    """Rows where one chosen point of ssd is gone, or its accuracy is not a number."""
    every = rows()
    at = next(i for i, r in enumerate(every) if r["method"] == "ssd" and r["selected"])
    if metrics:
        every[at]["metrics"]["clean_accuracy"] = math.inf
    else:
        del every[at]
    return every


@pytest.mark.parametrize(
    ("found", "facts", "changes", "reason"),
    [
        (None, {"profile": "smoke"}, {}, "the profile 'smoke'"),
        (None, {"changes": ["train.steps=5"]}, {}, "train.steps=5"),
        (None, {}, {"beyond": "of CIFAR-100 too"}, "the paper's number is of CIFAR-100 too"),
        (None, {"data": {**DATA, "lossy": True}}, {}, "the images are a lossy copy"),
        (None, {}, {"over": ["patch"]}, "the axis 'patch' is not swept"),
        (None, {}, {"at": {"patch": 3}}, "the axis 'patch' is not swept"),
        (None, {}, {"at": {"discovered": 0.3}}, "no row of ours"),
        (None, {}, {"metric": "healed"}, "no row of ours"),
        (None, {}, {"method": "scrub"}, "no row of ours"),
        ([], {}, {}, "no row of ours"),
        (lacking(False), {}, {}, "without a number: ssd at count=100, discovered=1.0, seed 0"),
        (lacking(True), {}, {}, "without a number: ssd at count=100, discovered=1.0, seed 0"),
    ],
)
def test_what_is_not_comparable_says_why(
    found: Any, facts: dict, changes: dict, reason: str
) -> None:
    verdict = judged(found, facts, **changes)
    assert verdict.verdict == "not comparable"
    assert reason in verdict.reason


def test_a_gap_elsewhere_does_not_stop_a_claim() -> None:
    assert judged(lacking(False), over=["discovered"], at={"count": 1000}).verdict != (
        "not comparable"
    )
