"""How much the key-value pairs of a bottleneck belong to the forget set alone."""

from __future__ import annotations

from harness.components import NoSettings, component
from harness.errors import HarnessError
from harness.lazy import torch
from harness.metrics.evidence import Evidence
from harness.spec.requests import Prepare

DOCS = {
    "forget_pairs": "Share of the pairs in use that a sample of the forget set selects.",
    "forget_pairs_alone": "Of the pairs that the forget set selects, the share that nothing of the "
    "retain set selects.",
    "forget_pairs_mostly": "Of the pairs that the forget set selects, the share that it selects "
    "more often than the retain set.",
    "key_overlap": "What the selections of forget and retain set have in common: in each codebook "
    "the sum over pairs of the smaller of their two shares, mean over codebooks.",
}


@component(
    "metrics",
    "key_overlap",
    source="asked for by reviews of arXiv 2311.15268; overlap of histograms, Swain & Ballard 1991",
    outputs=lambda s: tuple(DOCS),
    docs=lambda s: DOCS,
    reads=lambda s: (),
    requests=lambda s: (
        Prepare("key_counts", NoSettings(), "forget"),
        Prepare("key_counts", NoSettings(), "train"),
    ),
    unit="share",
    range=(0, 1),
)
def key_overlap(evidence: Evidence, settings: NoSettings) -> dict[str, float]:
    """Of the base model's pairs, before anything is masked: which the forget set has to itself."""
    if evidence.answers is None:
        raise HarnessError("key_overlap needs the counts that it asks for")
    forget, train = (
        evidence.answers.prepared("key_counts", subset)["counts"].double()
        for subset in ("forget", "train")
    )
    retain = train - forget
    touched = forget > 0
    both = [each / each.sum(1, keepdim=True).clamp(min=1) for each in (forget, retain)]
    return {
        "forget_pairs": float(touched.sum() / (train > 0).sum()),
        "forget_pairs_alone": float((touched & (retain == 0)).sum() / touched.sum()),
        "forget_pairs_mostly": float((forget > retain).sum() / touched.sum()),
        "key_overlap": float(torch.minimum(*both).sum(1).mean()),
    }
