"""What metrics over a population look at: the outputs of many models on the same samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean
from types import MappingProxyType

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
        spent: what each model of a population cost, as its meter counted.
        exact: whether the unlearned models were trained again without the forget set.
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
        spent: Mapping[str, Sequence[Mapping[str, float]]] = MappingProxyType({}),
        exact: bool = False,
    ) -> None:
        self.classes, self.answers, self.exact = classes, answers, exact
        self.series: dict[str, list[float]] = {}  # lists of numbers that a metric leaves
        self.rejected = ""  # why a metric does not let the method count
        self._spent = spent
        self._outputs, self._pools, self._seed = outputs, pools, seed

    def _of(self, population: str) -> Sequence[Outputs]:
        if population not in self._outputs:
            known = ", ".join(self._outputs)
            raise HarnessError(f"no population {population!r} was asked for (asked for: {known})")
        return self._outputs[population]

    def count(self, population: str = "unlearned") -> int:
        """How many models there are."""
        return len(self._of(population))

    def each(self, split: str, population: str = "unlearned") -> Iterator[torch.Tensor]:
        """float32 [samples, classes] on the CPU for each model, in the order of the seeds."""
        return (read()[split] for read in self._of(population))

    def logits(self, split: str, population: str = "unlearned") -> torch.Tensor:
        """Those of all models at once: float32 [models, samples, classes]."""
        return torch.stack(list(self.each(split, population)))

    def targets(self, split: str) -> torch.Tensor:
        """Labels int64 [samples] on the CPU."""
        return self._pools[split].targets.cpu()

    def work(self, population: str = "unlearned") -> float:
        """What a model cost on average: samples forward and twice those backward."""
        self._of(population)
        return fmean(m["forward"] + 2 * m["backward"] for m in self._spent[population])

    def generator(self, purpose: str) -> torch.Generator:
        """The generator of a purpose."""
        return generator(self._seed, purpose)
