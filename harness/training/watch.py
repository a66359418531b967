"""What a training loop reports to: progress, and a meter of the samples it processed."""

from __future__ import annotations

from typing import Any, Protocol

from attrs import define

from harness.lazy import torch


@define
class Meter:
    """Samples passed forward and backward, and optimiser steps."""

    forward_samples: int = 0
    backward_samples: int = 0
    steps: int = 0

    def forward(self, samples: int) -> None:
        """Count a forward pass."""
        self.forward_samples += samples

    def backward(self, samples: int) -> None:
        """Count a backward pass."""
        self.backward_samples += samples

    def step(self, samples: int, more: tuple[int, int] = (0, 0)) -> None:
        """Count an optimiser step, the two passes that it took, and so many ``more``."""
        self.forward(samples * (1 + more[0]))
        self.backward(samples * (1 + more[1]))
        self.steps += 1

    @property
    def work(self) -> int:
        """Forward equivalents: a backward pass costs about two forward ones."""
        return self.forward_samples + 2 * self.backward_samples

    def as_dict(self) -> dict[str, int]:
        """For a record."""
        return {
            "forward": self.forward_samples,
            "backward": self.backward_samples,
            "steps": self.steps,
        }

    def restore(self, counts: dict[str, int]) -> None:
        """Go on from the counts of a record."""
        self.forward_samples = counts["forward"]
        self.backward_samples = counts["backward"]
        self.steps = counts["steps"]


class Slot(Protocol):
    """Keeps the state of a stage that is under way."""

    def load(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None: ...
    def save(self, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None: ...
    def due(self) -> bool: ...


class Watch(Protocol):
    """Told how far a stage is. ``step`` may raise Interrupted or OverBudget.

    ``meeting``: the seat of a stage that is computed together with others.
    """

    meter: Meter
    meeting: Any

    def step(self, done: int, total: int, loss: float | None) -> None: ...


class Unwatched:
    """A watch that only counts."""

    def __init__(self) -> None:
        self.meter = Meter()
        self.meeting: Any = None

    def step(self, done: int, total: int, loss: float | None) -> None: ...
