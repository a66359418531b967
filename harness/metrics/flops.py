"""Floating-point operations of a method, by two rules."""

from __future__ import annotations

from harness.components import NoSettings, component
from harness.metrics.evidence import Evidence


@component(
    "metrics",
    "flops",
    source="Shah et al., arXiv 2311.15268, table 2: forward as fvcore counts, backward by twice "
    "the parameters; and ours",
    outputs=lambda s: (
        "forward_tflop", "backward_tflop", "paper_forward_tflop", "paper_backward_tflop"
    ),
    docs=lambda s: {
        "forward_tflop": "What the method passed forward, vectors of a backbone being kept: "
        "multiplications and additions apart.",
        "backward_tflop": "What it passed backward, at twice the forward count.",
        "paper_forward_tflop": "As the paper counts: one for a multiplication with its addition, "
        "without products inside attention, and the backbone anew for every sample.",
        "paper_backward_tflop": "As the paper counts: twice the trained parameters a sample.",
    },
    reads=lambda s: (),
    better="lower",
    unit="TFLOP",
    range=(0, None),
)  # fmt: skip
def flops(evidence: Evidence, settings: NoSettings) -> dict[str, float]:
    """10^12 floating-point operations of the method, by the samples that its meter counted.

    fvcore also counts normalisation, 0.1 % of a ViT-B/32, which is left out here.
    """
    forward, backward = (evidence.costs["method"].get(way, 0) for way in ("forward", "backward"))
    one, trained = evidence.flops, evidence.model("unlearned").parameters()
    parameters = sum(weight.numel() for weight in trained if weight.requires_grad)
    return {
        "forward_tflop": forward * one["head"] / 1e12,
        "backward_tflop": 2 * backward * one["head"] / 1e12,
        "paper_forward_tflop": forward * (one["head"] + one["backbone"]) / 2e12,
        "paper_backward_tflop": 2 * backward * parameters / 1e12,
    }
