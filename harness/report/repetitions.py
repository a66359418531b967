"""Which repetitions a spec asks for, and what differs between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.report.record import Seed
from harness.spec.seeds import SeedChoice, in_words, repetitions
from harness.spec.structure import structure_seeds

WORDS = {"data": "data", "model": "base model", "unlearn": "unlearning"}


def _chosen(spec: Mapping[str, Any]) -> SeedChoice:
    return structure_seeds(spec["seeds"])


def labels(spec: Mapping[str, Any]) -> tuple[Seed, ...]:
    """What rows call the repetitions of a resolved spec, in their order."""
    return tuple(seeds.label for seeds in repetitions(_chosen(spec)))


def seeds_text(spec: Mapping[str, Any]) -> str:
    """``seeds 0, 1``, or ``1 data seed × 1 base model seed × 16 unlearning seeds``."""
    chosen = _chosen(spec)
    return f"{'seeds ' if isinstance(chosen, tuple) else ''}{in_words(chosen)}"


def kind_of_seeds(spec: Mapping[str, Any]) -> str:
    """What n counts: ``seeds``, which move data, model and unlearning, or ``unlearning seeds``."""
    chosen = _chosen(spec)
    if isinstance(chosen, tuple):
        return "seeds"
    several = [
        word
        for name, word in WORDS.items()
        if len({getattr(seeds, name) for seeds in repetitions(chosen)}) > 1
    ]
    return f"{' and '.join(several)} seeds" if several else "seeds"
