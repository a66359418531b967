"""A report's first words: which methods remove the poison, and which pay with the model for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from report.sample import sample

from harness.report import Results
from harness.report.answer import answer
from harness.report.markdown import markdown
from harness.report.notices import warnings
from harness.report.section import Drawn

SEES = {"none": ["original weights"], "retrain": ["retain"]}
ALL = {"claim": "does_not_remove", "metric": "attack_success_rate", "method": "*",
       "against": "retrain", "where": "Abstract"}  # fmt: skip
BASE = {"none": [0.90, 0.91, 0.92], "retrain": [0.90, 0.91, 0.91]}
ATTACK = {"none": [0.8, 0.9, 0.85], "retrain": [0.1, 0.12, 0.08]}


def measured(
    attack: Mapping[str, Sequence[float]],
    accuracy: Mapping[str, Sequence[float]],
    *claims: dict[str, Any],
    better: str = "lower",
    **facts: Any,
) -> Results:
    """Results with these values by method and seed, the same in four cells."""
    found = [
        {
            "cell": {"count": count, "discovered": share},
            "seed": seed,
            "method": method,
            "candidate": {},
            "selected": True,
            "metrics": {"attack_success_rate": value, "clean_accuracy": accuracy[method][seed]},
            "keys": {"unlearn": "u", "evaluate": "e"},
        }
        for count in (100, 1000)
        for share in (1.0, 0.5)
        for method, values in attack.items()
        for seed, value in enumerate(values)
    ]
    usual = ["forget", "original weights", "retain"]
    methods = {m: {"component": m, "sees": SEES.get(m, usual)} for m in attack}
    metrics = {
        "clean_accuracy": {"component": "clean_accuracy", "better": "higher"},
        "attack_success_rate": {"component": "attack_success_rate", "better": better},
    }

    def change(spec: dict[str, Any]) -> None:
        spec["seeds"] = list(range(len(attack["none"])))
        spec["methods"] = [
            m if m in SEES else {"name": "finetune", "label": m} for m in attack
        ]  # fmt: skip

    return sample(found, claims, change, metrics=metrics, **{"methods": methods, **facts})


def judged(**values: list[float]) -> str:
    attack = {**ATTACK, **values}
    return answer(measured(attack, {m: [0.9, 0.91, 0.92] for m in attack}, ALL))


def test_the_first_sentence_says_of_every_method_whether_it_removes_what_retraining_does() -> None:
    told = judged(gd=[0.7, 0.8, 0.75], euk=[0.13, 0.14, 0.06], ga=[0.0, 0.02, -0.02])
    # euk - retrain: 0.03, 0.02, -0.02; ga - retrain: three times -0.1.
    assert told.startswith(
        "Whether a method reaches retrain in attack_success_rate, over count, discovered (its "
        "difference from retrain with the 95 % interval): yes for ga -0.100 [-0.100, -0.100]; "
        "no for gd 0.650 [0.542, 0.758]; open for euk 0.010 [-0.056, 0.076]. 1 claim, "
    )


def test_a_claim_that_methods_remove_it_is_answered_in_the_same_words() -> None:
    attack = {**ATTACK, "gd": [0.7, 0.8, 0.75], "euk": [0.1, 0.12, 0.08]}
    claim = {**ALL, "claim": "removes", "tolerance": 0.1}
    told = answer(measured(attack, {m: [0.9, 0.91, 0.92] for m in attack}, claim))
    assert "yes for euk 0.000 [0.000, 0.000]; no for gd 0.650" in told
    assert told.startswith("Whether a method reaches retrain in attack_success_rate to within 0.1,")


def test_two_seeds_say_of_no_method_whether_it_removes_it() -> None:
    attack = {"none": [0.8, 0.9], "retrain": [0.1, 0.1], "gd": [0.7, 0.8]}
    told = answer(measured(attack, {m: [0.9, 0.9] for m in attack}, ALL))
    assert "too few seeds for gd 0.650 [0.015, 1.285]. 1 claim" in told


def said(found: Results) -> list[str]:
    return [notice for notice in warnings(found) if "is not unlearning" in notice]


def test_a_score_that_vanishes_with_the_accuracy_is_no_unlearning_and_is_said() -> None:
    attack = {**ATTACK, "ga": [0.1, 0.14, 0.06], "gd": [0.1, 0.14, 0.06]}
    accuracy = {**BASE, "ga": [0.13, 0.14, 0.14], "gd": [0.90, 0.90, 0.91]}
    found = measured(attack, accuracy)
    assert said(found) == [
        "ga moves attack_success_rate from 0.850 to 0.100 (retrain: 0.100), but clean_accuracy "
        "with it, by -0.770 [-0.770, -0.770] against retrain: a score that vanishes with the "
        "accuracy is not unlearning."
    ]
    box = markdown(found, Drawn(None, (), (), ())).partition("## Results")[0]
    assert "a score that vanishes with the accuracy is not unlearning" in box


def test_it_is_not_said_of_what_is_not_clear() -> None:
    gone, ruined = [0.1, 0.14, 0.06], [0.13, 0.14, 0.14]
    attack, accuracy = {**ATTACK, "ga": gone}, {**BASE, "ga": ruined}
    assert said(measured(attack, accuracy))
    # The attack still succeeds; the loss is within a point, or is not clear; one seed.
    assert not said(measured({**attack, "ga": [0.8, 0.91, 0.85]}, accuracy))
    assert not said(measured(attack, {**accuracy, "ga": [0.895, 0.905, 0.905]}))
    assert not said(measured(attack, {**accuracy, "ga": [0.1, 0.9, 0.9]}))
    assert not said(measured({m: v[:1] for m, v in attack.items()}, accuracy))
    # The attack fails on the untouched model too; nobody says which direction is better.
    assert not said(measured({**attack, "none": [0.1, 0.11, 0.12]}, accuracy))
    assert not said(measured(attack, accuracy, better="none"))
    # Nothing to hold it against, and a method that starts from scratch.
    assert not said(measured(attack, accuracy, methods={}))
    sees = {**SEES, "ga": ["forget", "retain"]}
    facts = {m: {"component": m, "sees": s} for m, s in sees.items()}
    assert not said(measured(attack, accuracy, methods=facts))
