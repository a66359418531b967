"""Trainings in which an adversary makes each step's inputs harder."""

from __future__ import annotations

import attrs

from harness.components import get
from harness.data.pool import Batch
from harness.lazy import nn, torch
from harness.spec.blocks import Use
from harness.training.precision import arithmetic


class Adversary:
    """Gives the batch that a model is to learn from, or to be measured on, in place of another.

    ``use`` is what a recipe calls its ``adversary``, ``generator`` says the seed of the draws.
    ``work`` are the times that it passes each sample forward and backward. A model is left in the
    modes of its layers, and without gradients of its weights.
    """

    def __init__(
        self, use: Use, encoding: object, generator: torch.Generator, precision: str = "fp32"
    ) -> None:
        component = get("adversaries", use.name)
        self.function, self.settings = component.function, use.settings
        self.work = component.traits.work(use.settings)
        self.encoding, self.precision = encoding, precision
        self.seed = generator.initial_seed()

    def __call__(self, model: nn.Module, batch: Batch, step: int) -> Batch:
        """``batch`` with harder inputs; the same ones for the same model, batch and ``step``."""
        draws = torch.Generator().manual_seed((self.seed + step) % 2**63)
        modes = [(layer, layer.training) for layer in model.modules()]
        try:
            with arithmetic(batch.y.device.type, self.precision):
                x = self.function(model, batch, self.settings, self.encoding, draws)
        finally:
            for layer, training in modes:
                layer.training = training
        return attrs.evolve(batch, x=x.detach())
