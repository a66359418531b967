"""How much of a backdoor is left. All are shares in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

from attrs import frozen

from harness.components import NoSettings, component, setting
from harness.errors import HarnessError
from harness.lazy import torch
from harness.metrics.evidence import Evidence, Which


@frozen
class Backdoor:
    """Settings of the backdoor metrics."""

    include_target: bool = setting(
        False, doc="count triggered samples whose true class is the target class, too"
    )
    split: Literal["test", "validation"] = setting(
        "test", doc="measured on; names of what is measured on validation data begin with it"
    )


def _triggered(
    evidence: Evidence, settings: Backdoor, which: Which = "unlearned"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions and true classes of the triggered test samples that count."""
    if evidence.target_class is None:
        raise HarnessError("the corruption has no target class, so no attack can succeed")
    split = f"{settings.split}_triggered"
    truth = evidence.targets(split)
    predicted = evidence.logits(split, which).argmax(1)
    counts = torch.ones_like(truth, dtype=torch.bool)
    if not settings.include_target:
        counts = truth != evidence.target_class
    if not counts.any():
        raise HarnessError("every sample is of the target class; nothing can be attacked")
    return predicted[counts], truth[counts]


def named(measured: str) -> Callable[[Backdoor], tuple[str, ...]]:
    """The name of what is measured, by the settings: ``validation_NAME``, ``NAME_all``."""

    def outputs(settings: Backdoor) -> tuple[str, ...]:
        before = "validation_" if settings.split == "validation" else ""
        return (f"{before}{measured}{'_all' if settings.include_target else ''}",)

    return outputs


def told(measured: str, sentence: str) -> Callable[[Backdoor], dict[str, str]]:
    """What a report says of it: ``sentence`` with the samples that count by the settings."""

    def docs(settings: Backdoor) -> dict[str, str]:
        held_out = "test" if settings.split == "test" else "held-out"
        classes = "of all classes" if settings.include_target else "of other classes"
        samples = f"triggered {held_out} samples {classes}"
        return dict.fromkeys(named(measured)(settings), sentence.format(samples=samples))

    return docs


def needs(settings: Backdoor) -> frozenset[str]:
    """A trigger, and held-out data where they are measured on."""
    held_out = {"validation"} if settings.split == "validation" else set()
    return frozenset({"corruption", *held_out})


def reads(settings: Backdoor) -> tuple[str, ...]:
    """The splits that the unlearned model is run on."""
    return (f"{settings.split}_triggered",)


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
    outputs=named("attack_success_rate"),
    docs=told("attack_success_rate", "Share of {samples} that are taken for the target class."),
    needs=needs,
    reads=reads,
    better="lower",
    unit="share",
    range=(0, 1),
)
def attack_success_rate(evidence: Evidence, settings: Backdoor) -> dict[str, float]:
    """Share of triggered test samples of other classes that are taken for the target class."""
    return dict.fromkeys(named("attack_success_rate")(settings), success(evidence, settings))


@component(
    "metrics",
    "unlearned_gain",
    settings=Backdoor,
    source="Potion, SSD's selection rule (protocol section 6): change in poison unlearned",
    outputs=named("unlearned_gain"),
    docs=told(
        "unlearned_gain",
        "Attack success of the base model minus that of the unlearned one, on {samples}.",
    ),
    drop_of={
        f"{split}unlearned_gain{samples}": f"{split}attack_success_rate{samples}"
        for split in ("", "validation_")
        for samples in ("", "_all")
    },
    needs=needs,
    reads=reads,
    better="higher",
    unit="share",
    range=(-1, 1),
)
def unlearned_gain(evidence: Evidence, settings: Backdoor) -> dict[str, float]:
    """Attack success on the base model minus that on the unlearned model."""
    gain = success(evidence, settings, "original") - success(evidence, settings)
    return dict.fromkeys(named("unlearned_gain")(settings), gain)


@component(
    "metrics",
    "healed",
    settings=Backdoor,
    source="Potion (protocol section 7), candidate b; include_target: as its code's test_acc",
    outputs=named("healed"),
    docs=told("healed", "Share of {samples} that are classified rightly."),
    needs=needs,
    reads=reads,
    better="higher",
    unit="share",
    range=(0, 1),
)
def healed(evidence: Evidence, settings: Backdoor) -> dict[str, float]:
    """Share of triggered test samples of other classes that are classified rightly."""
    predicted, truth = _triggered(evidence, settings)
    share = int((predicted == truth).sum()) / len(truth)
    return dict.fromkeys(named("healed")(settings), share)


@component(
    "metrics",
    "unlearned",
    settings=Backdoor,
    source="Potion (protocol section 7), candidate definition d",
    outputs=named("unlearned"),
    docs=told("unlearned", "Share of {samples} that are not taken for the target class."),
    needs=needs,
    reads=reads,
    better="higher",
    unit="share",
    range=(0, 1),
)
def unlearned(evidence: Evidence, settings: Backdoor) -> dict[str, float]:
    """Share of triggered samples of other classes that are not taken for the target class."""
    return dict.fromkeys(named("unlearned")(settings), 1 - success(evidence, settings))


@component(
    "metrics",
    "target_success",
    source="Geiping et al., arXiv 2009.02276, section 4: success of a targeted attack",
    outputs=lambda settings: ("target_success",),
    docs=lambda settings: {
        "target_success": "Share of the attack's targets that get the adversarial class."
    },
    needs=frozenset({"left:targets", "left:adversarial"}),
    reads=lambda settings: ("test",),
    better="lower",
    unit="share",
    range=(0, 1),
)
def target_success(evidence: Evidence, settings: NoSettings) -> dict[str, float]:
    """Share of the targets, test samples, that are predicted as the class chosen for each."""
    predicted = _of_targets(evidence).argmax(1)
    wanted = evidence.corruption("adversarial")
    return {"target_success": int(predicted.eq(wanted).sum()) / len(wanted)}


@component(
    "metrics",
    "target_margin",
    source="Carlini and Wagner, IEEE S&P 2017, f6 with the other sign and not cut at 0, of the "
    "targets of an attack on the training data",
    outputs=lambda settings: ("target_margin",),
    docs=lambda settings: {
        "target_margin": "Logit of the adversarial class minus the largest other one, mean over "
        "the attack's targets; above 0 where it succeeds."
    },
    needs=frozenset({"left:targets", "left:adversarial"}),
    reads=lambda settings: ("test",),
    better="lower",
    unit="nats",
)
def target_margin(evidence: Evidence, settings: NoSettings) -> dict[str, float]:
    """How far the targets are from being predicted as the class chosen for each, or beyond it.

    A difference of logits is the log of a ratio of probabilities: of how near an attack came, it
    tells more than whether it succeeded. Mean over the targets, in float64.
    """
    logits = _of_targets(evidence).double()
    wanted = evidence.corruption("adversarial")[:, None]
    others = logits.scatter(1, wanted, -torch.inf)
    margins = logits.gather(1, wanted)[:, 0] - others.max(1).values
    return {"target_margin": float(margins.mean())}


def _of_targets(evidence: Evidence) -> torch.Tensor:
    """The logits of the attack's targets, in their order: float32 [targets, classes]."""
    rows, logits = evidence.rows("test"), evidence.logits("test")
    return torch.cat([logits[rows == row] for row in evidence.corruption("targets")])
