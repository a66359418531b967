"""A metric that looks at the parameters of the base model along its training."""

from __future__ import annotations

from harness.components import NoSettings, component
from harness.methods.preparations.fisher import Fisher
from harness.metrics.evidence import Evidence
from harness.spec.requests import Prepare, Trained

STEPS = (0, 3, 6)


@component(
    "metrics",
    "throwaway_path",
    source="made by this test",
    outputs=lambda settings: (*(f"path_{step}" for step in STEPS), "path_information"),
    reads=lambda settings: (),
    requests=lambda settings: (
        Trained("path", data="corrupted", snapshots=STEPS),
        Prepare("fisher", Fisher(), "retain"),
    ),
)
def path(evidence: Evidence, settings: NoSettings) -> dict[str, float]:
    """L2 distance of the weights after some steps from those of the trained model."""
    last = dict(evidence.model("original").named_parameters())
    found = {
        f"path_{step}": sum(float((weights[n] - w).square().sum()) for n, w in last.items()) ** 0.5
        for step, weights in evidence.answers.snapshots("path").items()
    }
    information = evidence.answers.prepared("fisher", "retain")
    return found | {"path_information": sum(float(i.sum()) for i in information.values())}
