"""What a corruption is given beside the training data and its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from harness.data.types import Dataset
from harness.errors import HarnessError
from harness.lazy import nn, torch
from harness.training.seeding import generator
from harness.training.watch import Unwatched, Watch

T = TypeVar("T")


class CorruptionTask:
    """One corruption that is to be made.

    ``rows`` int64 [n] are the training rows of ``dataset.train``, which a corruption may choose
    from: the others are held out for validation. A corruption that takes long reports to
    ``watch``, keeps its state in ``slot`` (None: nothing is kept) and computes on ``device``.
    ``models`` and ``features`` load what the corruption's requests were answered with, by name.
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
        models: Mapping[str, Callable[[], nn.Module]] | None = None,
        features: Mapping[str, Callable[[], torch.Tensor]] | None = None,
    ) -> None:
        self.corruption, self.rows, self.dataset = corruption, rows, dataset
        self.seed, self.device = seed, torch.device(device)
        self.watch, self.slot = watch or Unwatched(), slot
        self._models, self._features = models or {}, features or {}

    def generator(self, purpose: str = "corrupt") -> torch.Generator:
        """The CPU generator of a purpose: it starts anew at each call."""
        return generator(self.seed, purpose)

    def model(self, name: str) -> nn.Module:
        """The model of the request ``Trained(name)``, in eval mode, loaded at each call.

        Raises:
            HarnessError: the corruption did not ask for it.
        """
        return self._answer("model", name, self._models).eval()

    def features(self, name: str) -> torch.Tensor:
        """The vectors of the request ``Features(name)``, float32 [N, size] of all of the split.

        Raises:
            HarnessError: the corruption did not ask for them.
        """
        return self._answer("features", name, self._features)

    def _answer(self, what: str, name: str, answers: Mapping[str, Callable[[], T]]) -> T:
        if name not in answers:
            asked = ", ".join(answers) or "nothing"
            raise HarnessError(
                f"the corruption {self.corruption!r} reads {what} {name!r}, but asked for {asked}"
            )
        return answers[name]()
