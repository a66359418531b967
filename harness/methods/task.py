"""What an unlearning method is given, and what it may look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.data.pool import Pool
from harness.errors import HarnessError
from harness.lazy import nn, torch
from harness.spec.blocks import Train
from harness.spec.requests import Answers
from harness.training.loop import fit
from harness.training.losses import Loss
from harness.training.run import Fitted
from harness.training.seeding import generator
from harness.training.watch import Watch

Tensors = Mapping[str, "torch.Tensor"]


class Task:
    """One unlearning problem as a method sees it.

    ``sees`` is what the method declared: of ``retain``, ``forget``, ``validation`` and ``original
    weights``. Reading anything else raises HarnessError, because methods that see more are not
    comparable with those that see less. ``recipe`` is how the base model was trained, on
    ``base_samples`` samples, those of each pass counted. What a method puts into ``facts``
    (numbers) and ``series`` (lists of equal length) reaches metrics and reports. ``answers`` gives
    what the method asked other stages for, and ``slot`` keeps the state of what is under way.
    """

    def __init__(
        self,
        *,
        method: str,
        sees: frozenset[str],
        pools: Mapping[str, Pool],
        original: Callable[[], nn.Module],
        build: Callable[[str], nn.Module],
        recipe: Train,
        base_samples: int = 0,
        classes: int,
        device: torch.device,
        seed: str,
        watch: Watch,
        slot: Any = None,
        prepared: Mapping[tuple[str, ...], Tensors] | None = None,
        evaluate: Callable[[nn.Module], float] | None = None,
        answers: Answers | None = None,
    ) -> None:
        self.method, self.sees = method, sees
        self.recipe, self.base_samples = recipe, base_samples
        self.classes, self.device = classes, device
        self.watch, self.seed = watch, seed
        self._pools, self._original, self._build = pools, original, build
        self.slot, self._prepared, self._evaluate = slot, prepared or {}, evaluate
        self._fits = 0
        self.answers = answers
        self.facts: dict[str, float] = {}
        self.series: dict[str, list[float]] = {}
        self.fitted: list[Fitted] = []

    def _may_see(self, what: str) -> None:
        if what not in self.sees:
            declared = ", ".join(sorted(self.sees)) or "nothing"
            raise HarnessError(
                f"the method {self.method!r} reads {what!r}, but declares that it sees {declared}"
            )

    def _pool(self, name: str) -> Pool:
        self._may_see(name)
        if not len(self._pools[name]) and name != "validation":
            raise HarnessError(f"the {name} set is empty, but the method {self.method!r} reads it")
        return self._pools[name]

    @property
    def retain(self) -> Pool:
        """Training samples that stay, as the base model saw them (undiscovered poison included)."""
        return self._pool("retain")

    @property
    def forget(self) -> Pool:
        """Training samples to forget, as the base model saw them."""
        return self._pool("forget")

    @property
    def validation(self) -> Pool:
        """Clean samples that no training saw."""
        return self._pool("validation")

    def original(self) -> nn.Module:
        """A copy of the base model, in eval mode and without gradients: a teacher."""
        self._may_see("original weights")
        return self._original().eval().requires_grad_(False)

    def fresh(self, purpose: str) -> nn.Module:
        """A newly initialised model; the same for the same purpose."""
        return self._build(f"{self.seed}|{purpose}")

    def generator(self, purpose: str) -> torch.Generator:
        """The CPU generator of a purpose: it starts anew at each call."""
        return generator(self.seed, purpose)

    def prepared(self, name: str, subset: str) -> dict[str, torch.Tensor]:
        """What the ``prepare`` stage ``name`` computed on ``subset``, on the task's device.

        Raises:
            HarnessError: the method does not see the subset, or asked for no such preparation.
        """
        for part in ("retain", "forget") if subset == "train" else (subset,):
            self._may_see(part)
        if (name, subset) not in self._prepared:
            raise HarnessError(f"{self.method!r} did not ask for {name!r} of the {subset} set")
        return {k: v.to(self.device) for k, v in self._prepared[name, subset].items()}

    def fit(
        self,
        model: nn.Module,
        pool: Pool,
        train: Train,
        loss: Loss | None = None,
        *,
        resumable: bool = True,
        passes: frozenset[int] | None = None,
        before_step: Callable[[nn.Module, int], None] | None = None,
    ) -> Fitted:
        """Train ``model`` in place. The n-th fit of a stage has the n-th stream of batches.

        An interrupted stage goes on in the middle of its first fit. Later fits start over, because
        what happened between them is not saved; and so does a fit that is not ``resumable``,
        because its loss keeps a state of its own. ``passes`` and ``before_step`` are as in ``fit``.
        """
        self._fits += 1
        slot = self.slot if self._fits == 1 and resumable else None
        fitted = fit(
            model,
            pool,
            train,
            generator=lambda purpose: self.generator(f"fit {self._fits} {purpose}"),
            loss=loss,
            evaluate=self._evaluate,
            watch=self.watch,
            slot=slot,
            passes=passes,
            before_step=before_step,
        )
        self.fitted.append(fitted)
        return fitted
