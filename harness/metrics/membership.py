"""Membership inference: can an attacker tell the forget set from unseen samples?"""

from __future__ import annotations

import math
from typing import Any

from attrs import frozen

from harness.components import component, setting
from harness.errors import HarnessError
from harness.lazy import F, np, torch
from harness.metrics.evidence import Evidence

SIGNALS = ("loss", "entropy", "confidence")


@frozen
class MembershipInference:
    """Settings of ``membership_inference``."""

    splits: int = setting(10, doc="random splits of the attacker's data", unit="splits", ge=2)
    test_share: float = setting(
        0.3, doc="share of each split that is tested on; the starting kit: 0.1", gt=0, lt=1
    )
    random_state: int = setting(0, doc="seed of the random splits", ge=0, later=True)
    false_positive_rate: float | None = setting(
        None,
        doc="also measure mia_tpr: the share of forget samples that a threshold on the loss finds "
        "where it takes at most this share of test samples for members",
        gt=0,
        lt=1,
        later=True,
    )


def signals(logits: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
    """Per-sample loss, entropy of the softmax (nats) and its largest probability; float32 [n]."""
    log_p = F.log_softmax(logits, 1)
    p = log_p.exp()
    return {
        "loss": F.cross_entropy(logits, targets, reduction="none"),
        "entropy": -(p * log_p).nan_to_num().sum(1),
        "confidence": p.max(1).values,
    }


@component(
    "metrics",
    "membership_inference",
    settings=MembershipInference,
    source="after the NeurIPS 2023 challenge starting kit, which tests on 10 % of each split where "
    "our default is 30 %: logistic regression on losses; entropy and "
    "confidence as signals after Song and Mittal, USENIX Security 2021; a threshold on the loss "
    "after Yeom et al., CSF 2018, section 3.2",
    outputs=lambda s: (
        *(f"mia_{signal}" for signal in SIGNALS),
        *(("mia_tpr",) if s.false_positive_rate else ()),
    ),
    reads=lambda s: ("forget", "test"),
    better={f"mia_{signal}": "none" for signal in SIGNALS},  # best is what retraining has
    unit="share",
    range=(0, 1),
)
def membership_inference(evidence: Evidence, settings: MembershipInference) -> dict[str, float]:
    """Accuracy of telling forget samples from test samples, 0.5 being chance.

    Members and non-members are made equally many, the larger set cut to random samples. Logistic
    regression on one signal, mean accuracy over stratified shuffle splits. With
    ``test_share: 0.1``, ``mia_loss`` is the starting kit's attack.

    Chance is the mark of good unlearning only where the forget set is distributed as the test set.
    Forget samples keep their trained labels and triggers: with poison, an exactly retrained model
    has a high loss on them and the attack nears 1 because they are poison, not because they are
    members. Compare with the value of ``retrain`` there, not with 0.5.

    With ``false_positive_rate``, ``mia_tpr`` is the true positive rate at that rate, of all forget
    samples against all test samples. Chance is the rate itself; with fewer than 1 / rate test
    samples, only losses below all of theirs count.

    Raises:
        HarnessError: a side has fewer than 4 samples.
    """
    found = {
        part: signals(evidence.logits(part), evidence.targets(part)) for part in ("forget", "test")
    }
    count = min(len(found["forget"]["loss"]), len(found["test"]["loss"]))
    if count < 4:
        raise HarnessError(f"membership inference needs 4 samples on each side; found {count}")
    draws = evidence.generator("membership inference")
    chosen = {
        part: torch.randperm(len(s["loss"]), generator=draws)[:count] for part, s in found.items()
    }
    values = {
        f"mia_{signal}": attack(
            found["forget"][signal][chosen["forget"]].numpy(),
            found["test"][signal][chosen["test"]].numpy(),
            settings,
        )
        for signal in SIGNALS
    }
    if settings.false_positive_rate is not None:
        # In float64: losses of float32 logits end at 0, where the most confident samples are tied.
        members, others = (
            signals(evidence.logits(part).double(), evidence.targets(part))["loss"]
            for part in ("forget", "test")
        )
        values["mia_tpr"] = true_positives(members, others, settings.false_positive_rate)
    return values


def true_positives(members: torch.Tensor, others: torch.Tensor, rate: float) -> float:
    """The share of ``members`` below the largest threshold that at most the share ``rate`` of
    ``others`` is below. What is tied with the threshold is not below it."""
    allowed = math.floor(rate * len(others) + 1e-9)  # 0.29 * 100 is not quite 29
    threshold = others.sort().values[allowed]
    return int((members < threshold).sum()) / len(members)


def attack(members: Any, others: Any, settings: MembershipInference) -> float:
    """Mean accuracy of the attacker on as many ``members`` as ``others``, float [n] each."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score

    values = np.concatenate([members, others]).reshape(-1, 1).astype("float64")
    labels = np.repeat([1, 0], [len(members), len(others)])
    splits = StratifiedShuffleSplit(
        settings.splits, test_size=settings.test_share, random_state=settings.random_state
    )
    scores = cross_val_score(LogisticRegression(), values, labels, cv=splits, scoring="accuracy")
    return float(scores.mean())
