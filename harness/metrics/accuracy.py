"""Accuracies on the parts of the data, shares in [0, 1], and losses."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from harness.components import NoSettings, component, setting
from harness.lazy import F
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
    reads=lambda s: ("test",),
    better={"clean_accuracy": "higher"},
    unit="share",
    range=(0, 1),
)
def clean_accuracy(evidence: Evidence, settings: NoSettings) -> dict[str, float]:
    """Accuracy on the clean test set."""
    return {"clean_accuracy": accuracy(evidence, "test")}


@frozen
class Drop:
    """Settings of ``accuracy_drop``."""

    split: Literal["test", "validation"] = setting(
        "test", doc="clean data that is measured on; the name begins with validation_ for those"
    )


def _drop_name(settings: Drop) -> str:
    return "accuracy_drop" if settings.split == "test" else "validation_accuracy_drop"


@component(
    "metrics",
    "accuracy_drop",
    settings=Drop,
    source="Potion, abstract (protocol section 7)",
    outputs=lambda s: (_drop_name(s),),
    docs=lambda s: {
        "validation_accuracy_drop": "Held-out accuracy of the base model minus the unlearned one's."
    },
    needs=lambda s: frozenset({"validation"} if s.split == "validation" else ()),
    reads=lambda s: (s.split,),
    drop_of={
        "accuracy_drop": "clean_accuracy",
        "validation_accuracy_drop": "validation_accuracy",
    },
    better="lower",
    unit="share",
    range=(-1, 1),
)
def accuracy_drop(evidence: Evidence, settings: Drop) -> dict[str, float]:
    """Clean accuracy of the base model minus that of the unlearned model."""
    before = accuracy(evidence, settings.split, "original")
    return {_drop_name(settings): before - accuracy(evidence, settings.split)}


@component(
    "metrics",
    "retain_accuracy",
    source="top-1 accuracy",
    outputs=lambda s: ("retain_accuracy",),
    reads=lambda s: ("retain",),
    better={"retain_accuracy": "higher"},
    unit="share",
    range=(0, 1),
)
def retain_accuracy(evidence: Evidence, settings: NoSettings) -> dict[str, float]:
    """Accuracy on the retain set, with the labels that were trained on."""
    return {"retain_accuracy": accuracy(evidence, "retain")}


@component(
    "metrics",
    "forget_accuracy",
    source="top-1 accuracy",
    outputs=lambda s: ("forget_accuracy",),
    reads=lambda s: ("forget",),
    better={"forget_accuracy": "none"},  # best is what retraining has
    unit="share",
    range=(0, 1),
)
def forget_accuracy(evidence: Evidence, settings: NoSettings) -> dict[str, float]:
    """Accuracy on the forget set, with the labels that were trained on."""
    return {"forget_accuracy": accuracy(evidence, "forget")}


@component(
    "metrics",
    "validation_accuracy",
    source="top-1 accuracy",
    outputs=lambda s: ("validation_accuracy",),
    reads=lambda s: ("validation",),
    better={"validation_accuracy": "higher"},
    needs=frozenset({"validation"}),
    unit="share",
    range=(0, 1),
)
def validation_accuracy(evidence: Evidence, settings: NoSettings) -> dict[str, float]:
    """Accuracy on the clean held-out part of the training data."""
    return {"validation_accuracy": accuracy(evidence, "validation")}


@frozen
class Loss:
    """Settings of ``loss``."""

    split: Literal["forget", "retain", "validation", "test"] = setting(
        "forget", doc="samples that it is measured on; the name begins with it"
    )


@component(
    "metrics",
    "loss",
    settings=Loss,
    source="mean cross-entropy, as the challenge's starting kit and Kaggle notebooks on it print",
    outputs=lambda s: (f"{s.split}_loss",),
    docs=lambda s: {f"{s.split}_loss": f"Mean cross-entropy on the {s.split} set."},
    needs=lambda s: frozenset({"validation"} if s.split == "validation" else ()),
    reads=lambda s: (s.split,),
    better="none",  # of the forget set, best is what retraining has
    unit="nats",
    range=(0, None),
)
def loss(evidence: Evidence, settings: Loss) -> dict[str, float]:
    """Mean cross-entropy, in nats, with the labels that were trained on; no class weights."""
    logits, targets = evidence.logits(settings.split), evidence.targets(settings.split)
    return {f"{settings.split}_loss": float(F.cross_entropy(logits.double(), targets))}


@component(
    "metrics",
    "cost",
    source="samples forward + 2 * samples backward, over those of the base training",
    outputs=lambda s: ("cost_share",),
    docs=lambda s: {
        "cost_share": "What the method cost, as a share of the base training. What candidates "
        "share counts in full for each: a PTN search is one trajectory for every rho."
    },
    reads=lambda s: (),
    better={"cost_share": "lower"},
    unit="share",
    range=(0, None),
)
def cost(evidence: Evidence, settings: NoSettings) -> dict[str, float]:
    """What the method cost, with all that was prepared for it, as a share of the base training."""
    work = {
        who: counts.get("forward", 0) + 2 * counts.get("backward", 0)
        for who, counts in evidence.costs.items()
    }
    return {"cost_share": work["method"] / work["base"]}
