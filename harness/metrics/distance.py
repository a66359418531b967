"""How far an unlearned model is from one that was retrained without the forget set, and from the
base model: along the gradients of the data that stay, or across them."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

from attrs import frozen

from harness.components import NoSettings, component, setting
from harness.lazy import F, torch
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


SHIFT = ("shift_l1", "shift_cosine", "shift_step_cosine")


@frozen
class ParameterShift:
    """Settings of ``parameter_shift``."""

    batch_size: int = setting(128, doc="of one gradient of shift_step_cosine", unit="samples", gt=0)


@component(
    "metrics",
    "parameter_shift",
    settings=ParameterShift,
    source="Pawelczyk et al., arXiv 2406.17216, hypotheses 1 and 2: L1 distance, cosine",
    outputs=lambda s: SHIFT,
    reads=lambda s: ("retain",),
    better="none",
    unit="",
    range={SHIFT[0]: (0, None), SHIFT[1]: (-1, 1), SHIFT[2]: (-1, 1)},
)
def parameter_shift(evidence: Evidence, settings: ParameterShift) -> dict[str, float]:
    """The way from the base model's weights w to the unlearned model's w + s: L1 norm of s, and its
    cosine with steps down the loss of the retain set at w.

    ``shift_cosine`` is cos(s, -grad L) of the mean cross-entropy over the whole set, in eval mode,
    without augmentation or weight decay; ``shift_step_cosine`` the mean of that cosine over the
    batches of one shuffled pass. Of ``retrain`` they say how far gradients of clean data lead
    towards exact unlearning; 0 is across. A model that did not move has cosines of 0. Distances
    between weights mean something where training converges to one optimum.
    """
    model, pool = evidence.model("original"), evidence.pool("retain").augmented(False)
    before = list(model.parameters())
    after = evidence.model("unlearned").parameters()
    shift = _flat([b.detach() - a.detach() for a, b in zip(before, after, strict=True)])
    down, cosines = torch.zeros_like(shift), []
    draws = evidence.generator("parameter shift")
    for batch in pool.epoch(settings.batch_size, draws):
        loss = F.cross_entropy(model(batch.x), batch.y, reduction="sum")
        step = _flat(torch.autograd.grad(-loss, before))
        down += step
        cosines.append(float(F.cosine_similarity(shift, step, dim=0)))
    whole = float(F.cosine_similarity(shift, down, dim=0))
    return dict(zip(SHIFT, (float(shift.abs().sum()), whole, fmean(cosines)), strict=True))


def _flat(parts: Iterable[torch.Tensor]) -> torch.Tensor:
    """Float64 [parameters]."""
    return torch.cat([part.flatten().double() for part in parts])
