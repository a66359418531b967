"""A metric that looks at the parameters of the base model along its training."""

from __future__ import annotations

from harness.components import NoSettings, component
from harness.metrics.evidence import Evidence
from harness.spec.requests import Trained

STEPS = (0, 3, 6)


@component(
    "metrics",
    "throwaway_path",
    source="made by this test",
    outputs=lambda settings: tuple(f"path_{step}" for step in STEPS),
    reads=lambda settings: (),
    requests=lambda settings: (Trained("path", data="corrupted", snapshots=STEPS),),
)
def path(evidence: Evidence, settings: NoSettings) -> dict[str, float]:
    """L2 distance of the weights after some steps from those of the trained model."""
    last = dict(evidence.model("original").named_parameters())
    return {
        f"path_{step}": sum(float((weights[n] - w).square().sum()) for n, w in last.items()) ** 0.5
        for step, weights in evidence.answers.snapshots("path").items()
    }
