"""Claims about values of an axis: their order, and whether two metrics order them alike."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import sqrt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report.sample import sample
from scipy import stats

from harness.report import Results, render
from harness.report.pairs import kendall
from harness.report.read import to_json
from harness.report.verdict import Verdict

By = Mapping[Any, Sequence[float]]  # by value of an axis: one number for each seed
ORDER = {"claim": "order", "metric": "mia_loss", "method": "none", "axis": "count", "where": "T1",
         "better": "higher"}  # fmt: skip
ALIKE = {"claim": "same_order", "metric": "mia_loss", "like": "clean_accuracy", "method": "none",
         "axis": "count", "where": "T1"}  # fmt: skip


def results(loss: By, accuracy: By | None = None, *claims: dict[str, Any], **facts: Any) -> Results:
    """Results of one method, whose weighted mean over the other axis has these values."""
    seeds = range(len(next(iter(loss.values()))))
    found = [
        {"cell": {"count": count, "discovered": share}, "seed": seed, "method": "none",
         "candidate": {}, "selected": True, "keys": {"unlearn": "u", "evaluate": "e"},
         "metrics": {"mia_loss": loss[count][seed] * (2 if share == 1.0 else -2),
                     "clean_accuracy": (accuracy or loss)[count][seed]}}
        for count in loss for share in (1.0, 0.5) for seed in seeds
    ]  # fmt: skip

    def change(spec: dict[str, Any]) -> None:
        spec |= {"seeds": list(seeds), "methods": ["none"]}
        spec["corruption"]["count"] = {"sweep": list(loss)}
        spec["weights"] = {"discovered": {"1.0": 3, "0.5": 1}}

    return sample(found, claims, change, **facts)


def judged(claim: dict[str, Any], loss: By, accuracy: By | None = None, **facts: Any) -> Verdict:
    [verdict] = results(loss, accuracy, claim, **facts).verdicts
    return verdict


@pytest.mark.parametrize(
    ("x", "y", "tau"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 40], 1),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1),
        ([1, 2, 3, 4], [2, 1, 3, 4], 2 / 3),  # five pairs alike, one not
        ([1, 1, 2, 3], [1, 2, 3, 4], 5 / sqrt(5 * 6)),  # of six pairs, one is tied in x
        ([1, 1, 2, 2], [1, 2, 2, 1], 0),  # one alike, one not
        ([1, 1, 1, 1], [1, 2, 3, 4], 0),  # it orders nothing
    ],
)
def test_tau_b_of_hand_worked_orders(x: list[float], y: list[float], tau: float) -> None:
    assert kendall(x, y) == pytest.approx(tau)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=9))
def test_tau_b_is_that_of_scipy_with_and_without_ties(pairs: list[tuple[int, int]]) -> None:
    x, y = zip(*pairs, strict=True)
    found = kendall(x, y)
    assert found == pytest.approx(kendall(y, x)) == pytest.approx(-kendall([-a for a in x], y))
    if len(set(x)) > 1 and len(set(y)) > 1:
        assert found == pytest.approx(stats.kendalltau(x, y).statistic)


# 2 - 1 is 0.01, 0.02, 0.03: 0.02 ± 4.302653 * 0.01 / √3 = [-0.0048, 0.0448]; 3 - 2 is 0.1 each time.
BY_COUNT = {1: [0.1, 0.4, 0.7], 2: [0.11, 0.42, 0.73], 3: [0.21, 0.52, 0.83]}


@pytest.mark.parametrize(
    ("values", "better", "verdict", "needed"),
    [
        ([3, 2], "higher", "reproduced", None),
        ([2, 3], "higher", "deviates", None),
        ([2, 3], "lower", "reproduced", None),
        ([2, 1], "higher", "open", 4),  # t(3) * 0.01 / √4 = 0.0159 < 0.02
        ([3, 2, 1], "higher", "open", 4),
        ([2, 3, 1], "higher", "deviates", None),
    ],
)
def test_an_order_of_values_is_judged_by_paired_seeds(
    values: list[int], better: str, verdict: str, needed: int | None
) -> None:
    found = judged({**ORDER, "values": values, "better": better}, BY_COUNT)
    assert (found.verdict, found.seeds_needed) == (verdict, needed)
    assert (found.axis, found.averaged) == ("count", ("discovered",))
    assert [(p.method, p.against) for p in found.pairs] == [*pairwise(map(str, values))]
    if values == [2, 1]:
        difference = found.pairs[0].difference
        assert (difference.low, difference.high) == pytest.approx((-0.00484, 0.04484), abs=1e-5)


@settings(max_examples=8)
@given(st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=1, max_size=5))
def test_values_are_put_in_order_as_methods_with_the_same_numbers_are(
    numbers: list[tuple[float, ...]],
) -> None:
    by_value = dict(zip((1, 2, 3), zip(*numbers, strict=True), strict=True))
    ours = judged({**ORDER, "values": [1, 2, 3]}, by_value)
    rows = [
        {"cell": {}, "seed": seed, "method": f"m{value}", "candidate": {}, "selected": True,
         "metrics": {"mia_loss": number}, "keys": {"unlearn": "u", "evaluate": "e"}}
        for value, by_seed in by_value.items() for seed, number in enumerate(by_seed)
    ]  # fmt: skip

    def change(spec: dict[str, Any]) -> None:
        spec["seeds"], spec["corruption"]["count"] = list(range(len(numbers))), 1
        spec["forget"]["discovered"] = 1.0
        spec["methods"] = [{"name": "finetune", "label": f"m{value}"} for value in by_value]

    plain = {key: value for key, value in ORDER.items() if key not in ("method", "axis")}
    [theirs] = sample(rows, [{**plain, "methods": ["m1", "m2", "m3"]}], change).verdicts
    for mine, other in zip(ours.pairs, theirs.pairs, strict=True):
        assert mine.difference.mean == pytest.approx(other.difference.mean, abs=1e-9)
        assert mine.difference.std == pytest.approx(other.difference.std, abs=1e-9)
    if all(abs(e) > 1e-6 for p in theirs.pairs for e in (p.difference.low or 1, p.difference.high or 1)):  # fmt: skip
        assert (ours.verdict, ours.reasons) == (theirs.verdict, theirs.reasons)


LOSS = {1: [0.1] * 3, 2: [0.2] * 3, 3: [0.3] * 3, 4: [0.4] * 3}
# tau of the three seeds: 1, 1, 2/3; mean 8/9, and 4.302653 * 0.19245 / √3 = 0.47807 on both sides
NEARLY = {1: [1, 1, 2], 2: [2, 2, 1], 3: [3, 3, 3], 4: [4, 4, 4]}


@pytest.mark.parametrize(
    ("like", "changes", "verdict"),
    [
        ({1: [5] * 3, 2: [6] * 3, 3: [7] * 3, 4: [8] * 3}, {}, "reproduced"),
        ({1: [8] * 3, 2: [7] * 3, 3: [6] * 3, 4: [5] * 3}, {}, "deviates"),
        ({1: [1] * 3, 2: [1] * 3, 3: [1] * 3, 4: [1] * 3}, {}, "deviates"),  # it orders nothing
        (NEARLY, {}, "open"),  # 0.411 is not above 0.5
        (NEARLY, {"tau": 0.4}, "reproduced"),
        (NEARLY, {"values": [1, 3, 4], "tau": 0.9}, "reproduced"),  # the others are in one order
    ],
)
def test_two_metrics_order_values_alike_when_all_of_taus_interval_says_so(
    like: By, changes: dict[str, Any], verdict: str
) -> None:
    found = judged({**ALIKE, **changes}, LOSS, like)
    assert found.verdict == verdict
    assert found.ours.n == 3
    assert found.pairs == ()
    if verdict == "open":
        assert (found.ours.mean, found.ours.low, found.ours.high) == pytest.approx(
            (8 / 9, 0.41082, 1), abs=1e-5
        )
        assert found.seeds_needed == 4  # 3.182446 * 0.19245 / √4 = 0.306


def test_claims_on_values_need_three_seeds_and_every_value() -> None:
    two = {value: seeds[:2] for value, seeds in LOSS.items()}
    for claim in ({**ORDER, "values": [2, 1]}, ALIKE):
        assert judged(claim, two).verdict == "no verdict"
        lost = {**LOSS, 2: [0.2, 0.2, float("inf")]}
        found = judged(claim, lost)
        assert found.verdict == "not comparable"
        assert found.reason.count("none at count=2, discovered=1.0, seed 2") == 1
        assert found.pairs == ()
        assert judged(claim, LOSS, profile="cpu").said == "reproduced at this scale"
    found = judged({**ORDER, "values": [9, 1]}, LOSS)
    assert found.reason == "no row of ours measures mia_loss of none at count=9"
    found = judged({**ALIKE, "like": "healed"}, LOSS)
    assert "no row of ours measures healed of none at count=1" in found.reason
    assert "the axis 'size' is not swept here" in judged({**ALIKE, "axis": "size"}, LOSS).reason


def test_every_form_says_such_claims_in_words() -> None:
    order = {**ORDER, "values": [4, 2], "at": {"discovered": 1.0}}
    found = results(LOSS, None, order, {**ALIKE, "values": [1, 2, 3, 4]})
    said = (
        "4 before 2 in mia_loss of none by count (higher first), at discovered=1.0",
        "mia_loss of none orders count 1, 2, 3, 4 as clean_accuracy does (Kendall's tau-b above "
        "0.5), over discovered",
    )
    text = render(found, "github")
    assert all(words in text for words in said)
    assert "4 − 2: 0.400 \\[0.400, 0.400\\]" in text
    assert "| 1.000 \\[1.000, 1.000\\] " in text
    assert "4 before 2 in mia\\_\\allowbreak{}loss of none by count" in render(found, "latex")
    assert [c["statement"] for c in json.loads(to_json(found))["claims"]] == list(said)
