"""A metric over many models of one method, beside as many that were retrained."""

from __future__ import annotations

from harness.components import NoSettings, component
from harness.metrics.populations import Populations
from harness.spec.requests import Outputs

FAR = 1_000_000


@component(
    "metrics",
    "throwaway_crowd",
    source="made by this test",
    outputs=lambda settings: ("crowd_spread", "crowd_gap", "crowd_oracle_gap"),
    reads=lambda settings: ("test",),
    better="lower",
    over="population",
    requests=lambda settings: (
        Outputs("unlearned"),
        Outputs("retrained"),
        Outputs("retrained", count=8, offset=FAR),
    ),
)
def crowd(populations: Populations, settings: NoSettings) -> dict[str, float]:
    """How much the models of one method differ, and how far their mean is from retrained ones."""
    unlearned, retrained, oracle = (
        populations.logits("test", name).softmax(2)
        for name in ("unlearned", "retrained", f"retrained+{FAR}")
    )
    return {
        "crowd_spread": float(unlearned.std(0).mean()),
        "crowd_gap": float((unlearned.mean(0) - retrained.mean(0)).abs().mean()),
        "crowd_oracle_gap": float((retrained.mean(0) - oracle.mean(0)).abs().mean()),
    }
