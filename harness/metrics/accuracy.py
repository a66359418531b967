"""Accuracies on the parts of the data. All are shares in [0, 1]."""

from __future__ import annotations

from harness.components import NoSettings, component
from harness.metrics.evidence import Evidence, Which


def accuracy(evidence: Evidence, split: str, which: Which = "unlearned") -> float:
    """Share of the samples of ``split`` whose largest logit is at their label."""
    right = evidence.logits(split, which).argmax(1) == evidence.targets(split)
    return int(right.sum()) / len(right)


@component(
    "metrics",
    "clean_accuracy",
    source="top-1 accuracy",
    outputs=lambda s: ("clean_accuracy",),
    better={"clean_accuracy": "higher"},
    unit="share",
)
def clean_accuracy(evidence: Evidence, settings: NoSettings) -> dict[str, float]:
    """Accuracy on the clean test set."""
    return {"clean_accuracy": accuracy(evidence, "test")}


@component(
    "metrics",
    "accuracy_drop",
    source="Potion, abstract (protocol section 7)",
    outputs=lambda s: ("accuracy_drop",),
    better={"accuracy_drop": "lower"},
    unit="share",
)
def accuracy_drop(evidence: Evidence, settings: NoSettings) -> dict[str, float]:
    """Clean test accuracy of the base model minus that of the unlearned model."""
    return {"accuracy_drop": accuracy(evidence, "test", "original") - accuracy(evidence, "test")}


@component(
    "metrics",
    "retain_accuracy",
    source="top-1 accuracy",
    outputs=lambda s: ("retain_accuracy",),
    better={"retain_accuracy": "higher"},
    unit="share",
)
def retain_accuracy(evidence: Evidence, settings: NoSettings) -> dict[str, float]:
    """Accuracy on the retain set, with the labels that were trained on."""
    return {"retain_accuracy": accuracy(evidence, "retain")}


@component(
    "metrics",
    "forget_accuracy",
    source="top-1 accuracy",
    outputs=lambda s: ("forget_accuracy",),
    better={"forget_accuracy": "lower"},
    unit="share",
)
def forget_accuracy(evidence: Evidence, settings: NoSettings) -> dict[str, float]:
    """Accuracy on the forget set, with the labels that were trained on."""
    return {"forget_accuracy": accuracy(evidence, "forget")}


@component(
    "metrics",
    "validation_accuracy",
    source="top-1 accuracy",
    outputs=lambda s: ("validation_accuracy",),
    better={"validation_accuracy": "higher"},
    needs=frozenset({"validation"}),
    unit="share",
)
def validation_accuracy(evidence: Evidence, settings: NoSettings) -> dict[str, float]:
    """Accuracy on the clean held-out part of the training data."""
    return {"validation_accuracy": accuracy(evidence, "validation")}


@component(
    "metrics",
    "cost",
    source="samples forward + 2 * samples backward, over those of the base training",
    outputs=lambda s: ("cost_share",),
    better={"cost_share": "lower"},
    unit="share",
)
def cost(evidence: Evidence, settings: NoSettings) -> dict[str, float]:
    """What the method cost, with all that was prepared for it, as a share of the base training."""
    work = {
        who: counts.get("forward", 0) + 2 * counts.get("backward", 0)
        for who, counts in evidence.costs.items()
    }
    return {"cost_share": work["method"] / work["base"]}
