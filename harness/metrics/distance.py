"""How far an unlearned model is from one that was retrained without the forget set."""

from __future__ import annotations

from harness.components import NoSettings, component
from harness.lazy import F
from harness.metrics.evidence import Evidence

NAMES = ("kl_to_retrain", "weight_distance_to_retrain", "disagreement_with_retrain")


@component(
    "metrics",
    "retrain_distance",
    source="output and weight distances as in Golatkar et al. CVPR 2020; churn, Milani Fard 2016",
    outputs=lambda s: NAMES,
    reads=lambda s: ("test",),
    needs=frozenset({"reference"}),
    better=dict.fromkeys(NAMES, "lower"),
    unit="",
    range={**dict.fromkeys(NAMES, (0, None)), NAMES[2]: (0, 1)},
)
def retrain_distance(evidence: Evidence, settings: NoSettings) -> dict[str, float]:
    """Distances of outputs and weights from the retrained model.

    KL(retrained || unlearned) of the outputs on the test set, in nats a sample; the L2 distance of
    the weights; and the share of test samples on which both models disagree.

    Two retrainings with different seeds are not at distance zero: compare methods, not zeros.
    """
    unlearned, reference = (evidence.logits("test", w) for w in ("unlearned", "reference"))
    kl = F.kl_div(
        F.log_softmax(unlearned.double(), 1),
        F.log_softmax(reference.double(), 1),
        log_target=True,
        reduction="batchmean",
    )
    pairs = zip(
        evidence.model("unlearned").parameters(),
        evidence.model("reference").parameters(),
        strict=True,
    )
    squares = sum(
        float((a.detach().double() - b.detach().double()).square().sum()) for a, b in pairs
    )
    differs = unlearned.argmax(1) != reference.argmax(1)
    values = (max(float(kl), 0.0), squares**0.5, int(differs.sum()) / len(differs))
    return dict(zip(NAMES, values, strict=True))
