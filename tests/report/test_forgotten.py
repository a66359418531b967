"""A report's first words where a class is forgotten: what is gone, what else, and at what cost."""

from __future__ import annotations

from typing import Any

from report.sample import sample

from harness.report.answer import box

DROPS = {
    "none": ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
    "mask": ([0.4, 0.5, 0.6], [0.01, 0.02, 0.03], [0.002, 0.002, 0.002]),
}
BETTER = {"test_forget_accuracy": "none", "test_forget_drop": "none", "test_retain_drop": "lower"}


def told(*measured: str) -> dict[str, tuple[str, ...]]:
    found: list[dict[str, Any]] = [
        {
            "cell": {"count": count, "discovered": share},
            "seed": seed,
            "method": method,
            "candidate": {},
            "selected": True,
            "metrics": {
                name: value
                for name, value in zip(
                    ("test_forget_drop", "test_retain_drop", "cost_share", "test_forget_accuracy"),
                    (*(of[seed] for of in drops), 0.6 - drops[0][seed]),
                    strict=True,
                )
                if name in measured
            },
            "keys": {"unlearn": "u", "evaluate": "e"},
        }
        for count in (100, 1000)
        for share in (1.0, 0.5)
        for method, drops in DROPS.items()
        for seed in (0, 1, 2)
    ]
    metrics = {
        name: {"component": "class_accuracy", "better": better} for name, better in BETTER.items()
    } | {"cost_share": {"component": "cost", "better": "lower"}}
    methods = {m: {"component": m, "sees": ["original weights"]} for m in DROPS}
    results = sample(
        found,
        change=lambda spec: spec.update(methods=["none", {"name": "finetune", "label": "mask"}]),
        metrics={name: facts for name, facts in metrics.items() if name in measured},
        methods=methods,
    )
    return dict(box(results))


def test_a_method_is_told_with_what_it_takes_of_both_and_its_cost() -> None:
    # Student's 97.5 % quantile of 2 degrees is 4.303: 0.5 +- 4.303 * 0.1 / sqrt(3).
    assert told("test_forget_accuracy", "test_forget_drop", "test_retain_drop", "cost_share")[
        "Forgotten"
    ] == (
        "mask takes 0.500 [0.252, 0.748] of test_forget_accuracy and 0.020 [-0.005, 0.045] of "
        "test_retain_accuracy, for 0.002 [0.002, 0.002] of the base model's training.",
    )


def test_nothing_is_told_of_a_cost_that_is_not_measured() -> None:
    (sentence,) = told("test_forget_drop", "test_retain_drop")["Forgotten"]
    assert sentence.endswith("of test_retain_accuracy.")


def test_nothing_is_told_where_only_one_of_the_two_is_measured() -> None:
    assert "Forgotten" not in told("test_forget_drop", "cost_share")
    assert "Forgotten" not in told("test_retain_drop", "cost_share")
