"""What becomes of the poisoned training samples, in each reading of Potion's "healed".

The paper does not state its formula. Each candidate has a name of its own (protocol section 7):
``healed`` (b, without the target class) and ``unlearned`` (d) are in ``attack.py``.
"""

from __future__ import annotations

from attrs import frozen

from harness.components import NoSettings, component, setting
from harness.lazy import torch
from harness.metrics.accuracy import accuracy
from harness.metrics.evidence import Evidence, Which

SM = {"healed_sm": "corrupted_triggered", "sm_clean_accuracy": "corrupted_clean"}
SHUFFLED = {"healed_sm_shuffled": "shuffled_triggered"}
SM_DOCS = {
    "healed_sm": "Accuracy on the poisoned training samples, with trigger and clean labels.",
    "sm_clean_accuracy": "Accuracy on the poisoned training samples without the trigger.",
    "healed_sm_shuffled": "What the published code's bug B1 gives for healed_sm: accuracy on as "
    "many random training samples with the trigger.",
}
NORMALISED = ("healed_normalised", "healed_sm_normalised")


@frozen
class HealedSm:
    """Settings of ``healed_sm``."""

    shuffled: bool = setting(
        False, doc="measure healed_sm_shuffled too: what the published code's bug B1 gives"
    )


def _splits(settings: HealedSm) -> dict[str, str]:
    """Measured name to split."""
    return {**SM, **SHUFFLED} if settings.shuffled else SM


@component(
    "metrics",
    "healed_sm",
    settings=HealedSm,
    source="Potion (protocol section 7), candidate a: manip_acc, manip_clean_acc; bug B1 (11)",
    outputs=lambda s: tuple(_splits(s)),
    docs=lambda s: SM_DOCS,
    needs=frozenset({"corruption"}),
    reads=lambda s: tuple(_splits(s).values()),
    better="higher",
    unit="share",
    range=(0, 1),
)
def healed_sm(evidence: Evidence, settings: HealedSm) -> dict[str, float]:
    """Accuracy on the poisoned training samples, with clean labels.

    ``healed_sm`` with the trigger, ``sm_clean_accuracy`` without. ``healed_sm_shuffled``: the
    published code reads predictions in shuffled order, which makes it the accuracy on as many
    random training samples with the trigger.
    """
    return {name: accuracy(evidence, split) for name, split in _splits(settings).items()}


def normalised(evidence: Evidence, triggered: str, clean: str) -> float | None:
    """(after - before) / (ceiling - before); None where the base model leaves nothing to heal.

    The ceiling is the base model's accuracy on the same images without the trigger.
    """

    def at(split: str, which: Which) -> float:
        return accuracy(evidence, split, which)

    before, ceiling = at(triggered, "original"), at(clean, "original")
    if ceiling <= before:
        return None
    return (at(triggered, "unlearned") - before) / (ceiling - before)


@component(
    "metrics",
    "healed_normalised",
    source="Potion (protocol section 7), candidate definition c",
    outputs=lambda s: NORMALISED,
    docs=lambda s: {
        "healed_normalised": "Share of the accuracy lost to the trigger that is back, on triggered "
        "test samples of all classes.",
        "healed_sm_normalised": "Share of the accuracy lost to the trigger that is back, on the "
        "poisoned training samples.",
    },
    needs=frozenset({"corruption"}),
    reads=lambda s: ("test_triggered", "corrupted_triggered"),
    better="higher",
    unit="share",
)
def healed_normalised(evidence: Evidence, settings: NoSettings) -> dict[str, float]:
    """How much of the accuracy that the trigger took is back: 0 as the base model, 1 all of it.

    On all triggered test images, the target class included, and on the corrupted training samples.
    A value is left out where the base model leaves nothing to heal.
    """
    found = (
        normalised(evidence, "test_triggered", "test"),
        normalised(evidence, "corrupted_triggered", "corrupted_clean"),
    )
    return {name: v for name, v in zip(NORMALISED, found, strict=True) if v is not None}


@component(
    "metrics",
    "corrected",
    source="Goel et al., arXiv 2402.14015, section 4: accuracy on the affected domain",
    outputs=lambda s: ("corrected_accuracy", "affected_accuracy"),
    docs=lambda s: {
        "corrected_accuracy": "Accuracy on the corrupted training samples, by the right labels.",
        "affected_accuracy": "Accuracy on the test samples of the corrupted samples' classes.",
    },
    reads=lambda s: ("corrupted_clean", "test"),
    better="higher",
    unit="share",
    range=(0, 1),
)
def corrected(evidence: Evidence, settings: NoSettings) -> dict[str, float]:
    """Accuracy where labels were wrong, by the right ones.

    ``corrected_accuracy``: on the corrupted training samples, as they look without a trigger.
    ``affected_accuracy``: on the test samples of the classes that corrupted samples belong to.
    """
    affected = torch.isin(evidence.targets("test"), evidence.targets("corrupted_clean"))
    right = evidence.logits("test").argmax(1) == evidence.targets("test")
    return {
        "corrected_accuracy": accuracy(evidence, "corrupted_clean"),
        "affected_accuracy": int(right[affected].sum()) / int(affected.sum()),
    }


@component(
    "metrics",
    "search",
    source="Potion, algorithm 1: how far the search went",
    outputs=lambda s: ("ptn_steps", "ptn_percentile", "ptn_dampened"),
    reads=lambda s: (),
    better="none",
    docs=lambda s: {
        "ptn_steps": "Steps of the percentile search.",
        "ptn_percentile": "Percentile at which it ended.",
        "ptn_dampened": "Share of the weights that it dampened.",
    },
    unit={"ptn_steps": "steps", "ptn_percentile": "percent", "ptn_dampened": "share"},
    range={"ptn_steps": (0, None), "ptn_percentile": (0, 100), "ptn_dampened": (0, 1)},
)
def search(evidence: Evidence, settings: NoSettings) -> dict[str, float]:
    """Steps of a percentile search, the percentile it ended at, and the share it dampened.

    Nothing for methods that do not choose a percentile.
    """
    names = {"steps": "ptn_steps", "percentile": "ptn_percentile", "dampened": "ptn_dampened"}
    return {names[fact]: value for fact, value in evidence.facts.items() if fact in names}
