"""A realistic paper-like spec with two axes, three seeds and claims, and the rows of its run."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import yaml

from conftest import TINY
from harness.report import Results, assemble
from harness.report.record import from_plain
from harness.spec.structure import structure, unstructure

Rows = list[dict[str, Any]]
METHODS = ("none", "retrain", "ssd")
COUNTS = (100, 1000)
SHARES = (1.0, 0.5)
METRICS = {"clean_accuracy": "higher", "attack_success_rate": "lower", "mia_loss": "none"}
DATA = {"name": "digits", "digest": "ab" * 32, "train": 270, "validation": 30, "test": 99}
PAPER = {
    "title": "Towards <Poison> | Unlearning",
    "venue": "DMLR 2024",
    "checklist": {"pseudocode": {"answer": "yes", "evidence": "Algorithm 1"}},
}


def claim(**changes: Any) -> dict[str, Any]:
    """A claim that the sample reproduces, with ``changes``."""
    usual = {
        "metric": "clean_accuracy",
        "method": "ssd",
        "value": 90,
        "unit": "%",
        "where": "Table 1",
        "tolerance": 5,
        "over": ["count", "discovered"],
    }
    return {**usual, **changes}


def rows() -> Rows:
    """One row for each cell, seed, method and candidate, in the plan's order."""
    draw = random.Random(7)
    return [
        {
            "cell": {"count": count, "discovered": share},
            "seed": seed,
            "method": method,
            "candidate": {"alpha": alpha} if alpha else {},
            "selected": alpha in (None, 50.0),
            "metrics": {
                "clean_accuracy": 0.9 + 0.01 * draw.random(),
                "attack_success_rate": draw.random(),
                "mia_loss": 0.5,
            },
            "keys": {"unlearn": f"u-{method}-{alpha}", "evaluate": f"e-{method}-{alpha}"},
        }
        for count in COUNTS
        for share in SHARES
        for seed in (0, 1, 2)
        for method in METHODS
        for alpha in ((5.0, 50.0) if method == "ssd" else (None,))
    ]


def sample(
    found: Rows | None = None,
    claims: Sequence[dict[str, Any]] = (),
    change: Callable[[dict[str, Any]], None] = lambda spec: None,
    **facts: Any,
) -> Results:
    """Assembled results; ``change`` edits the spec, ``facts`` replace parts of the context."""
    spec = yaml.safe_load(TINY)
    spec |= {"seeds": [0, 1, 2], "claims": list(claims), "paper": PAPER}
    spec["corruption"] = {"name": "badnet", "count": {"sweep": list(COUNTS)}}
    change(spec)
    described = {"source": "src", "summary": "does", "sees": ["retain"], "settings": {}}
    found = rows() if found is None else found
    plain = {
        "rows": found,
        "spec": unstructure(structure(spec)),
        "profile": None,
        "metrics": {
            name: {"component": name, "better": better, "unit": "share", "doc": "meaning"}
            for name, better in METRICS.items()
        },
        "methods": {label: {"component": label, **described} for label in METHODS},
        "components": [{"kind": "methods", "name": "ssd", "revision": 3, "source": "src"}],
        "data": DATA,
        "failed": [],
        "stages": {"train": {"total": 6, "cached": 2}, "evaluate": 48},
    }
    provenance = {
        "started": "2026-01-01T00:00:00+00:00",
        "seconds": 12.5,
        "command": "harness run specs/tiny.yaml",
        "machine": {"cpu": "a processor", "cpus": 2, "devices": ["cpu"]},
        "versions": {"torch": "2.11"},
        "git": {"revision": "cafe", "dirty": True},
    }
    return assemble(from_plain(Results, {**plain, "provenance": provenance, **facts}))
