"""What metrics over a population look at: the outputs of many models on the same samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from harness.data.pool import Pool
from harness.errors import HarnessError
from harness.lazy import torch
from harness.spec.requests import Answers
from harness.training.seeding import generator

Outputs = Callable[[], Mapping[str, "torch.Tensor"]]


class Populations:
    """Populations of models by name, as ``Outputs`` requests call them: ``unlearned``,
    ``retrained``, ``retrained+1000`` and so on.

    Args:
        outputs: for each model of a population, a function that reads its logits by split.
        pools: the splits, for the labels.
        answers: what else was asked for.
    """

    def __init__(
        self,
        *,
        outputs: Mapping[str, Sequence[Outputs]],
        pools: Mapping[str, Pool],
        classes: int,
        seed: str,
        answers: Answers,
    ) -> None:
        self.classes, self.answers = classes, answers
        self._outputs, self._pools, self._seed = outputs, pools, seed

    def _of(self, population: str) -> Sequence[Outputs]:
        if population not in self._outputs:
            known = ", ".join(self._outputs)
            raise HarnessError(f"no population {population!r} was asked for (asked for: {known})")
        return self._outputs[population]

    def count(self, population: str = "unlearned") -> int:
        """How many models there are."""
        return len(self._of(population))

    def logits(self, split: str, population: str = "unlearned") -> torch.Tensor:
        """float32 [models, samples, classes] on the CPU, in the order of the seeds."""
        return torch.stack([read()[split] for read in self._of(population)])

    def targets(self, split: str) -> torch.Tensor:
        """Labels int64 [samples] on the CPU."""
        return self._pools[split].targets.cpu()

    def generator(self, purpose: str) -> torch.Generator:
        """The generator of a purpose."""
        return generator(self._seed, purpose)
