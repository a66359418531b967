"""A claim is compared only with all that it speaks of."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report.sample import DATA, claim, rows, sample
from scipy import stats

from harness.components import load
from harness.report import Results, render
from harness.report.checklist import checklist_table
from harness.report.claims import judge as judge_claim
from harness.report.pairs import paired
from harness.report.spread import Statistics, with_n
from harness.report.verdict import Verdict
from harness.spec.structure import structure_claim


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


def valued(values: Mapping[str, Sequence[float]], **facts: Any) -> Callable[..., Verdict]:
    """Judges claims about results whose accuracy has these values by method and seed."""
    seeds = list(range(len(next(iter(values.values())))))
    found = [
        {
            "cell": {"count": count, "discovered": share},
            "seed": seed,
            "method": method,
            "candidate": {},
            "selected": True,
            "metrics": {"clean_accuracy": by_seed[seed]},
            "keys": {"unlearn": "u", "evaluate": "e"},
        }
        for count in (100, 1000)
        for share in (1.0, 0.5)
        for seed in seeds
        for method, by_seed in values.items()
    ]

    def change(spec: dict[str, Any]) -> None:
        labels = {"none": "none", "retrain": "retrain"}
        spec["seeds"] = seeds
        spec["methods"] = [labels.get(m, {"name": "finetune", "label": m}) for m in values]

    def judge(**changes: Any) -> Verdict:
        usual = {"metric": "clean_accuracy", "where": "T1"}
        [verdict] = sample(found, [{**usual, **changes}], change, **facts).verdicts
        return verdict

    return judge


# Mean 91, standard deviation 1: with t = 4.302653 the interval is 91 ± 2.484 = [88.516, 93.484].
THREE = {"a": [0.90, 0.91, 0.92]}


@pytest.mark.parametrize(
    ("value", "tolerance", "verdict", "needed"),
    [
        (91, 2.5, "reproduced", None),
        (92, 4, "reproduced", None),
        (94, 0.5, "deviates", None),  # the claim begins at 93.5
        (86, 2.5, "deviates", None),  # it ends at 88.5
        (91, 2.4, "open", 4),  # t(3) = 3.182446: 91 ± 1.591
        (91, 0.5, "open", 18),  # t(17) / √18 = 0.4973, t(16) / √17 = 0.5142
        (94, 0.6, "open", 4),
        (92, 1, "open", None),  # the mean is at the edge: it lies neither within nor outside
    ],
)
def test_the_whole_interval_decides(
    value: float, tolerance: float, verdict: str, needed: int | None
) -> None:
    found = valued(THREE)(method="a", value=value, unit="%", tolerance=tolerance)
    assert (found.verdict, found.seeds_needed) == (verdict, needed)
    assert (found.ours.low, found.ours.high) == pytest.approx((88.5159, 93.4841), abs=1e-4)
    if verdict == "open":
        words = "more than 1,000" if needed is None else str(needed)
        assert found.reasons == (
            f"{words} seeds would settle it if mean and spread stay as they are",
        )


@settings(max_examples=40)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=7), st.floats(0, 100), st.floats(0, 30))
def test_a_verdict_is_what_the_definition_says(
    values: list[float], value: float, tolerance: float
) -> None:
    found = valued({"a": values})(method="a", value=value, unit="%", tolerance=tolerance)
    percent = [100 * v for v in values]
    if len(values) < 3:
        assert found.verdict == "no verdict"
        return
    mean, error = np.mean(percent), stats.sem(percent)

    def said(n: int) -> str:
        half = stats.t.ppf(0.975, n - 1) * error * math.sqrt(len(values) / n)
        low, high = mean - half, mean + half
        edges = [
            abs(x - edge) for x in (low, high) for edge in (value - tolerance, value + tolerance)
        ]
        if min(edges) < 1e-6:
            return "either"
        within = value - tolerance < low and high < value + tolerance
        outside = high < value - tolerance or low > value + tolerance
        assert not (within and outside)
        return "reproduced" if within else "deviates" if outside else "open"

    assert said(len(values)) in (found.verdict, "either")
    if found.verdict == "open":
        needed = found.seeds_needed
        assert needed is None or said(needed) != "open"
        assert said((needed or 1001) - 1) in ("open", "either")


@given(st.floats(-1, 1), st.floats(0, 1), st.integers(2, 50), st.integers(1, 50))
def test_more_seeds_of_the_same_spread_never_widen_an_interval(
    mean: float, std: float, n: int, more: int
) -> None:
    for bounds in ((-math.inf, math.inf), (-1, 1), (0, math.inf)):
        few, many = with_n(mean, std, n, bounds), with_n(mean, std, n + more, bounds)
        assert few.low <= many.low <= mean <= many.high <= few.high


def test_no_interval_leaves_the_range_of_its_metric() -> None:
    def one(**facts: Any) -> tuple[Verdict, Statistics]:
        judge = valued({"a": [0.97, 0.99, 1.0]}, **facts)
        found = judge(method="a", value=99, unit="%", tolerance=2)
        return found, found.ours

    free, ours = one()
    assert ours.high > 101
    assert free.verdict == "open"
    accuracy = {"component": "clean_accuracy", "better": "higher", "unit": "share", "range": [0, 1]}
    _, ours = one(metrics={"clean_accuracy": accuracy})
    assert ours.high == 100
    assert ours.low == pytest.approx(98.6667 - 4.302653 * 1.527525 / math.sqrt(3), abs=1e-3)
    results = sample(metrics={"clean_accuracy": accuracy, "attack_success_rate": accuracy})
    shown = [summary.metrics["attack_success_rate"] for summary in results.summaries]
    assert all(0 <= found.low <= found.high <= 1 for found in shown)
    difference = paired(results, "attack_success_rate", "none", "ssd")
    assert -1 <= difference.low < difference.high <= 1


def test_everything_built_in_that_cannot_be_negative_says_so() -> None:
    for name, metric in load("metrics").items():
        outputs = metric.traits.outputs(metric.settings())
        for output in outputs:
            low, _ = metric.traits.range_of(output)
            # normalised ones, scores and differences of logits have no end
            endless = "normalised" in output or metric.traits.unit_of(output) == ""
            endless |= output == "target_margin"
            assert endless or low is not None, (name, output)


# The seeds differ by more than the methods, which the paired differences do not see:
# b - a is 0.01, 0.02, 0.03: 0.02 ± 4.302653 * 0.01 / √3 = [-0.0048, 0.0448]; c - b is 0.1 each time.
PAIRED = {"a": [0.1, 0.4, 0.7], "b": [0.11, 0.42, 0.73], "c": [0.21, 0.52, 0.83]}


def test_differences_are_paired_by_seed() -> None:
    judge = valued(PAIRED)
    found = judge(claim="order", methods=["c", "b"])
    assert found.verdict == "reproduced"
    [pair] = found.pairs
    assert (pair.method, pair.against) == ("c", "b")
    assert (pair.difference.low, pair.difference.high) == pytest.approx((0.1, 0.1))
    found = judge(claim="order", methods=["b", "a"])
    assert (found.pairs[0].difference.low, found.pairs[0].difference.high) == pytest.approx(
        (-0.00484, 0.04484), abs=1e-5
    )
    # t(3) * 0.01 / √4 = 0.0159 < 0.02
    assert (found.verdict, found.seeds_needed) == ("open", 4)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"methods": ["c", "b", "a"]}, "open"),  # c before b holds, b before a is open
        ({"methods": ["b", "c"]}, "deviates"),
        ({"methods": ["b", "c", "a"]}, "deviates"),
        ({"methods": ["b", "c"], "better": "lower"}, "reproduced"),
        ({"claim": "does_not_remove", "method": "b", "against": "c"}, "reproduced"),
        ({"claim": "does_not_remove", "method": "b", "against": "c", "tolerance": 0.2}, "deviates"),
        ({"claim": "does_not_remove", "method": "c", "against": "b"}, "deviates"),
        ({"claim": "does_not_remove", "method": "*", "against": "c"}, "reproduced"),
        ({"claim": "does_not_remove", "method": "*", "against": "b"}, "deviates"),
        ({"claim": "removes", "method": "b", "against": "c"}, "deviates"),
        ({"claim": "removes", "method": "b", "against": "c", "tolerance": 0.2}, "reproduced"),
        ({"claim": "removes", "method": "c", "against": "c2"}, "reproduced"),  # no difference
        ({"claim": "does_not_remove", "method": "c", "against": "c2"}, "open"),
        ({"methods": ["c", "c2"]}, "open"),
        ({"claim": "removes", "method": "a", "against": "b", "better": "lower"}, "open"),
    ],
)
def test_orders_and_directions(changes: dict, verdict: str) -> None:
    methods = ("a", "b", "c", "c2", "none", "retrain")
    values = {name: PAIRED.get(name[0], PAIRED["a"]) for name in methods}
    sees = {name: ["retain", "original weights"] for name in methods}
    sees |= {"none": ["original weights"], "retrain": ["retain"], "c2": []}
    facts = {name: {"component": name, "sees": seen} for name, seen in sees.items()}
    found = valued(values, methods=facts)(**{"claim": "order", **changes})
    assert found.verdict == verdict
    said = {pair.verdict for pair in found.pairs}
    assert verdict in said and not ("deviates" in said and verdict != "deviates")
    if changes.get("method") == "*":  # neither doing nothing nor training again
        assert {pair.method for pair in found.pairs} == {"a", "b", "c"} - {changes["against"]}


def test_no_difference_stands_beside_what_is_not_comparable() -> None:
    failure = {"stage": "train", "key": "k", "error": "boom", "stopped": []}
    judge = valued(PAIRED, failed=[failure])
    order = judge(claim="order", methods=["c", "b"])
    number = judge(method="c", value=50, unit="%", tolerance=1)
    assert order.verdict == number.verdict == "not comparable"
    assert (order.pairs, number.difference) == ((), None)


def test_a_table_shows_the_methods_that_a_verdict_is_about() -> None:
    claim = {"claim": "removes", "metric": "clean_accuracy", "method": "*", "against": "retrain",
             "where": "T", "tolerance": 0.05}  # fmt: skip
    labels = [f"m{i}" for i in range(7)]
    values = {"retrain": 0.9} | dict.fromkeys(labels, 0.9) | {"m5": 0.2}
    found = [
        {"cell": {}, "seed": seed, "method": label, "candidate": {}, "selected": True,
         "metrics": {"clean_accuracy": value}, "keys": {"unlearn": "u", "evaluate": "e"}}
        for seed in (0, 1, 2) for label, value in values.items()
    ]  # fmt: skip

    def change(spec: dict[str, Any]) -> None:
        spec["methods"] = ["retrain", *({"name": "finetune", "label": label} for label in labels)]
        spec["corruption"]["count"], spec["forget"]["discovered"] = 100, 1.0

    sees = {label: {"sees": ["retain", "original weights"]} for label in labels}
    text = render(sample(found, [claim], change, methods=sees), "github")
    assert "m5 − retrain: -0.700" in text
    assert "m4 − retrain" not in text
    assert "and 6 more" in text


def test_two_seeds_give_no_verdict_on_an_order() -> None:
    found = valued({name: v[:2] for name, v in PAIRED.items()})(claim="order", methods=["c", "b"])
    assert found.verdict == "no verdict"
    assert "2 seeds" in found.reason


def test_an_order_in_a_small_profile_holds_at_its_scale_only() -> None:
    judge = valued(PAIRED, profile="cpu")
    found = judge(claim="order", methods=["c", "b"])
    assert (found.verdict, found.scaled) == ("reproduced", True)
    assert found.said == "reproduced at this scale"
    assert "'cpu' is not the paper's protocol" in found.reason
    assert judge(method="a", value=90, unit="%", tolerance=90).verdict == "not comparable"


def test_more_seeds_than_the_spec_has_are_no_other_protocol() -> None:
    judge = valued(THREE, changes=["seeds=[0,1,2]"])
    assert judge(method="a", value=91, unit="%", tolerance=3).verdict == "reproduced"


def test_a_claim_about_a_population_is_judged_by_its_scores() -> None:
    def score(method: str, model: int, value: float) -> dict[str, Any]:
        return {
            "cell": {"count": 100}, "seeds": {"data": 0, "model": model}, "method": method,
            "candidate": {}, "selected": True, "metrics": {"gus_z": value},
            "models": {"unlearned": 8}, "keys": {"score": "s"},
        }  # fmt: skip

    values = {"ssd": (5.0, 5.5, 6.0), "retrain": (0.1, 0.2, 0.1)}
    scores = [score(m, i, v) for m, several in values.items() for i, v in enumerate(several)]
    metrics = {"gus_z": {"component": "gus", "better": "lower", "over": "population"}}
    claim = {"claim": "does_not_remove", "metric": "gus_z", "method": "ssd", "against": "retrain",
             "where": "Abstract", "tolerance": 2}  # fmt: skip
    found = sample(claims=[claim], scores=scores, metrics=metrics).verdicts[0]
    assert found.verdict == "reproduced"
    assert found.pairs[0].difference.mean == pytest.approx(np.mean([4.9, 5.3, 5.9]))
    number = {
        "metric": "gus_z",
        "method": "ssd",
        "where": "T",
        "value": 5.5,
        "unit": "",
        "tolerance": 2,
    }
    assert sample(claims=[number], scores=scores, metrics=metrics).verdicts[0].ours.n == 3


def test_scores_of_different_numbers_of_models_are_never_averaged() -> None:
    def scored(count: int) -> Results:
        row = {
            "cell": {}, "seeds": {"data": 0, "model": 0}, "method": "ssd", "candidate": {},
            "selected": True, "metrics": {"unlearning_score": 0.1},
            "models": {"unlearned": count}, "keys": {"score": "s"},
        }  # fmt: skip
        metrics = {"unlearning_score": {"better": "higher", "over": "population"}}
        return sample(scores=[row], metrics=metrics)

    number = {"metric": "unlearning_score", "method": "ssd", "where": "T", "value": 0.1, "unit": ""}
    asked = structure_claim({**number, "tolerance": 0.1})
    said = judge_claim(asked, [scored(16), scored(128)])
    assert said.verdict == "not comparable"
    assert "scores of 16 and 128 models are not comparable" in said.reason
    assert "not comparable" not in judge_claim(asked, [scored(16), scored(16)]).reason


def test_the_table_says_each_claim_in_words_with_our_interval() -> None:
    order = {
        "claim": "order",
        "metric": "clean_accuracy",
        "methods": ["ssd", "none"],
        "where": "T2",
    }
    results = sample(claims=[claim(), order], profile="cpu")
    text = render(results, "github")
    assert "clean_accuracy of ssd is 90 % ± 5, over count, discovered" in text
    assert re.search(
        r"\| ssd before none in clean_accuracy.*\| ssd − none: \S+ \S+, \S+ +\| ", text
    )
    assert "at this scale" in text
    number = next(line for line in text.splitlines() if "is 90 %" in line)
    assert "not comparable" in number


def test_a_number_that_could_not_be_read_stands_beside_ours_and_in_the_checklist() -> None:
    unknown = {"claim": "unknown", "metric": "clean_accuracy", "method": "ssd", "where": "Table 3"}
    results = sample(claims=[unknown])
    [verdict] = results.verdicts
    assert (verdict.verdict, verdict.value) == ("not comparable", None)
    assert verdict.reason == "the paper's number is unknown"
    assert verdict.ours.mean == pytest.approx(judged().ours.mean / 100)  # as a share, not in %
    assert "clean_accuracy of ssd is reported: unknown" in render(results, "github")
    listed = {row[0]: row[1] for row in checklist_table(results)[1]}
    assert listed["Reported numbers"] == "unknown, and judged by nothing: Table 3"
    assert "Reported numbers" not in {row[0] for row in checklist_table(sample())[1]}


@pytest.mark.parametrize(
    ("unit", "ours"), [("", 0.5), ("share", 0.5), ("%", 50), ("points", 50), ("h", 0.5 / 3600)]
)
def test_units(unit: str, ours: float) -> None:
    found = judged(metric="mia_loss", unit=unit, value=ours, tolerance=0)
    assert found.ours.mean == pytest.approx(ours)
    assert found.verdict == "reproduced"


def test_a_tolerance_holds_at_its_edge_despite_rounding() -> None:
    every = [{**r, "metrics": {"clean_accuracy": 0.933}} for r in rows()]
    assert judged(every, value=93.2, tolerance=0.1).verdict == "reproduced"
    assert judged(every, value=93.2, tolerance=0.09).verdict == "deviates"


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
    assert verdict.difference is None
    assert reason in verdict.reason


def test_a_gap_elsewhere_does_not_stop_a_claim() -> None:
    assert judged(lacking(False), over=["discovered"], at={"count": 1000}).verdict != (
        "not comparable"
    )
