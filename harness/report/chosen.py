"""What chose among the candidates of a method: held-out data, the test set, or nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.report.results import MetricFacts, Results
from harness.spec import expression
from harness.spec.sweeps import sweeps_in

FIXED, HELD_OUT, ORACLE = "fixed", "held-out", "oracle (test)"
TRAINING = "training"  # by numbers of retain and forget set alone
MARK = " †"
EXPLAINED = (
    "Chosen by: 'fixed', set in advance; 'held-out', best by validation_ metrics, of which those "
    "of a backdoor stamp the attacker's true trigger on held-out samples; 'oracle (test)', "
    "best by the metrics of the test, which flatters the method."
)
DAGGER = "† its candidate was chosen by the metrics of the test."


def choices(results: Results) -> dict[str, str]:
    """What chose, for each label of the spec's methods."""
    return {method["label"]: _chosen_by(results, method) for method in results.spec["methods"]}


def any_chosen(results: Results) -> bool:
    """Whether some method is not fixed."""
    return any(choice != FIXED for choice in choices(results).values())


def dagger(results: Results) -> str:
    """What the mark means, where some method has it."""
    return DAGGER if ORACLE in choices(results).values() else ""


def marked(results: Results, label: str) -> str:
    """``label``, with a dagger where the test set chose."""
    return label + (MARK if choices(results).get(label) == ORACLE else "")


def explained(results: Results) -> str:
    """What the words for a choice mean."""
    if TRAINING not in choices(results).values():
        return EXPLAINED
    return f"{EXPLAINED} '{TRAINING}': by metrics of the retain and forget set alone."


def _chosen_by(results: Results, method: Mapping[str, Any]) -> str:
    select = method["select"]
    swept = any(True for _ in sweeps_in({k: v for k, v in method.items() if k != "select"}))
    if select is None or select.get("at") or not swept:
        return FIXED
    names = expression.names(expression.parse(select["maximize"] or select["minimize"]))
    trained = {n for n in names if results.metrics.get(n, MetricFacts()).of_training}
    held_out = {n for n in names - trained if n.startswith("validation_")}
    if names != trained | held_out:
        return ORACLE
    return HELD_OUT if held_out else TRAINING
