"""How much of a backdoor is left. All are shares in [0, 1]."""

from __future__ import annotations

from typing import cast

from attrs import frozen

from harness.components import component, setting
from harness.errors import HarnessError
from harness.lazy import torch
from harness.metrics.evidence import Evidence, Which


@frozen
class Backdoor:
    """Settings of the backdoor metrics."""

    include_target: bool = setting(
        False, doc="count triggered samples whose true class is the target class, too"
    )


def _triggered(
    evidence: Evidence, settings: Backdoor, which: Which = "unlearned"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions and true classes of the triggered test samples that count."""
    if evidence.target_class is None:
        raise HarnessError("the corruption has no target class, so no attack can succeed")
    truth = evidence.targets("test_triggered")
    predicted = evidence.logits("test_triggered", which).argmax(1)
    counts = torch.ones_like(truth, dtype=torch.bool)
    if not settings.include_target:
        counts = truth != evidence.target_class
    if not counts.any():
        raise HarnessError("every test sample is of the target class; nothing can be attacked")
    return predicted[counts], truth[counts]


def success(evidence: Evidence, settings: Backdoor, which: Which = "unlearned") -> float:
    """Share of the triggered test samples that are predicted as the target class."""
    predicted, _ = _triggered(evidence, settings, which)
    target = cast(int, evidence.target_class)
    return int(predicted.eq(target).sum()) / len(predicted)


@component(
    "metrics",
    "attack_success_rate",
    settings=Backdoor,
    source="Gu et al., arXiv 1708.06733",
    outputs=lambda s: ("attack_success_rate",),
    needs=frozenset({"corruption"}),
    better={"attack_success_rate": "lower"},
    unit="share",
)
def attack_success_rate(evidence: Evidence, settings: Backdoor) -> dict[str, float]:
    """Share of triggered test samples of other classes that are taken for the target class."""
    return {"attack_success_rate": success(evidence, settings)}


@component(
    "metrics",
    "unlearned_gain",
    settings=Backdoor,
    source="Potion, SSD's selection rule (protocol section 6): change in poison unlearned",
    outputs=lambda s: ("unlearned_gain",),
    needs=frozenset({"corruption"}),
    better={"unlearned_gain": "higher"},
    unit="share",
)
def unlearned_gain(evidence: Evidence, settings: Backdoor) -> dict[str, float]:
    """Attack success on the base model minus that on the unlearned model."""
    gain = success(evidence, settings, "original") - success(evidence, settings)
    return {"unlearned_gain": gain}


@component(
    "metrics",
    "healed",
    settings=Backdoor,
    source="Potion (protocol section 7), candidate definition b without the target class",
    outputs=lambda s: ("healed",),
    needs=frozenset({"corruption"}),
    better={"healed": "higher"},
    unit="share",
)
def healed(evidence: Evidence, settings: Backdoor) -> dict[str, float]:
    """Share of triggered test samples of other classes that are classified rightly."""
    predicted, truth = _triggered(evidence, settings)
    return {"healed": int((predicted == truth).sum()) / len(truth)}
