"""What a corruption is given beside the training data and its settings."""

from __future__ import annotations

from typing import Any

from harness.data.types import Dataset
from harness.lazy import torch
from harness.spec.requests import Answers
from harness.training.seeding import generator
from harness.training.watch import Unwatched, Watch


class CorruptionTask:
    """One corruption that is to be made.

    ``rows`` int64 [n] are the training rows of ``dataset.train``, which a corruption may choose
    from: the others are held out for validation. A corruption that takes long reports to
    ``watch``, keeps its state in ``slot`` (None: nothing is kept) and computes on ``device``.
    ``answers`` has what the corruption asked other stages for, such as a surrogate.
    """

    def __init__(
        self,
        *,
        corruption: str,
        rows: torch.Tensor,
        dataset: Dataset,
        seed: str,
        device: torch.device | str = "cpu",
        watch: Watch | None = None,
        slot: Any = None,
        answers: Answers | None = None,
    ) -> None:
        self.corruption, self.rows, self.dataset = corruption, rows, dataset
        self.seed, self.device = seed, torch.device(device)
        self.watch, self.slot = watch or Unwatched(), slot
        self.answers = answers

    def generator(self, purpose: str = "corrupt") -> torch.Generator:
        """The CPU generator of a purpose: it starts anew at each call."""
        return generator(self.seed, purpose)
