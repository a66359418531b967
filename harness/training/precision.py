"""The arithmetic of forward and backward passes."""

from __future__ import annotations

from harness.lazy import torch
from harness.spec.blocks import Train


def arithmetic(device: str, precision: str) -> torch.autocast:
    """A context in which a model on a ``device`` of this type computes with ``precision``."""
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return torch.autocast(device, dtype=kind, enabled=kind is not None)


def of_evaluation(train: Train) -> str:
    """The precision with which models of this recipe are measured."""
    return train.precision if train.evaluate_precision == "recipe" else "fp32"
