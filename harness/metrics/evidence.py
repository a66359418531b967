"""What metrics look at: models, and their outputs on every split, each computed once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from harness.data.pool import Pool
from harness.errors import Diverged, HarnessError
from harness.lazy import nn, torch
from harness.spec.requests import Answers
from harness.training.precision import arithmetic
from harness.training.seeding import generator

Which = Literal["unlearned", "original", "reference"]
BATCH = 512


class Evidence:
    """The outputs of an unlearned model and of those it is compared with.

    Splits: ``test``, ``validation``, ``train``, ``retain`` and ``forget`` (as trained on),
    ``train_clean`` (training samples without the corruption),
    ``test_triggered``, ``validation_triggered`` and ``corrupted_triggered`` (with the trigger and
    clean labels), ``corrupted_clean`` (the same samples without it), and ``shuffled_triggered`` (as
    many random training samples with it).

    Args:
        models: gives a model in eval mode: ``unlearned``, ``original`` (the base model) or
            ``reference`` (retrained without the forget set).
        costs: samples ``forward`` and ``backward`` of the ``base`` training and of the ``method``.
        facts: numbers that the method left.
        corruption: the corruption's own tensors by name.
        shared: remembers what others may ask again: the outputs of the original model.
        precision: the arithmetic of the models.
        answers: what the metrics asked other stages for.
        flops: operations of one forward pass of the ``head`` that is trained, and of its frozen
            ``backbone`` without products inside attention; multiply and add apart.
    """

    def __init__(
        self,
        *,
        models: Callable[[str], nn.Module],
        pools: Mapping[str, Pool],
        classes: int,
        target_class: int | None,
        costs: Mapping[str, Mapping[str, float]],
        seed: str,
        facts: Mapping[str, float] | None = None,
        corruption: Mapping[str, torch.Tensor] | None = None,
        shared: Callable[[str, Callable[[], torch.Tensor]], torch.Tensor] | None = None,
        precision: str = "fp32",
        answers: Answers | None = None,
        flops: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self.classes, self.target_class, self.costs = classes, target_class, costs
        self.facts, self._flops = facts or {}, flops
        self.series: dict[str, list[float]] = {}  # lists of numbers that a metric leaves
        self.answers, self._precision = answers, precision
        self._corruption = corruption or {}
        self._shared = shared or (lambda split, make: make())
        self._load, self._pools, self._seed = models, pools, seed
        self._models: dict[str, nn.Module] = {}
        self._logits: dict[tuple[str, str], torch.Tensor] = {}

    def model(self, which: Which) -> nn.Module:
        """One of the models, in eval mode."""
        if which not in self._models:
            self._models[which] = self._load(which).eval()
        return self._models[which]

    @property
    def flops(self) -> Mapping[str, float]:
        """Operations of one sample."""
        return self._flops()

    def pool(self, split: str) -> Pool:
        """The samples of a split. Raises HarnessError where there are none."""
        pool = self._pools.get(split)
        if pool is None or not len(pool):
            raise HarnessError(f"there is no sample in the split {split!r} to measure on")
        return pool

    def logits(self, split: str, which: Which = "unlearned") -> torch.Tensor:
        """Outputs float32 [n, classes] on the CPU, without augmentation.

        Raises:
            Diverged, of another model HarnessError: an output is not finite. The largest of NaNs
                is at class 0, so accuracies and attack success would be numbers that look right.
        """
        if (split, which) not in self._logits:

            def make() -> torch.Tensor:
                return self._compute(split, which)

            logits = self._shared(split, make) if which == "original" else make()
            self._logits[split, which] = logits
        return self._logits[split, which]

    def _compute(self, split: str, which: Which) -> torch.Tensor:
        model = self.model(which)
        pool = self.pool(split)
        with torch.inference_mode(), arithmetic(pool.device.type, self._precision):
            parts = [model(batch.x).float() for batch in pool.ordered(BATCH)]
        logits = torch.cat(parts).cpu()
        if not logits.isfinite().all():
            kind = Diverged if which == "unlearned" else HarnessError
            raise kind(f"the {which} model diverged: outputs on {split} are not finite")
        return logits

    def maps(self, split: str, task: str) -> tuple[torch.Tensor, torch.Tensor]:
        """What the unlearned model has for another ``task`` than the class, and its targets, both
        float32 [n, 1, side, side] on the CPU.

        Raises:
            Diverged: an output is not finite. HarnessError: the data have no such task.
        """
        model: Any = self.model("unlearned")
        pool = self.pool(split).with_maps((task,))
        found, targets = list[torch.Tensor](), list[torch.Tensor]()
        with torch.inference_mode(), arithmetic(pool.device.type, self._precision):
            for batch in pool.ordered(BATCH):
                found.append(model.outputs(batch.x)[1][task].float().cpu())
                targets.append(model.target(batch.maps[task]).float().cpu())
        whole = torch.cat(found)
        if not whole.isfinite().all():
            raise Diverged(f"the unlearned model diverged: its {task} of {split} are not finite")
        return whole, torch.cat(targets)

    def representation(self, split: str, which: Which = "unlearned") -> torch.Tensor:
        """What goes into the last linear layer, or of a model without one what it gives; float32
        [n, size] on the CPU."""
        model, seen = self.model(which), list[torch.Tensor]()
        layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
        if not layers:
            return self.logits(split, which)
        kept = layers[-1].register_forward_pre_hook(
            lambda layer, given: seen.append(given[0].flatten(1).float().cpu())
        )
        with kept:
            self._compute(split, which)
        return torch.cat(seen)

    def targets(self, split: str) -> torch.Tensor:
        """Labels int64 [n] on the CPU."""
        return self.pool(split).targets.cpu()

    def rows(self, split: str) -> torch.Tensor:
        """The rows of the samples int64 [n] on the CPU: of the test data for ``test...``, of the
        training data for the others, where the samples that a corruption added come last.
        """
        return self.pool(split).rows.cpu()

    def corruption(self, name: str) -> torch.Tensor:
        """A tensor that the corruption left, such as its noise, on the CPU.

        Raises:
            HarnessError: it left none of this name; the message lists those it left.
        """
        if name not in self._corruption:
            left = ", ".join(sorted(self._corruption)) or "none"
            raise HarnessError(f"the corruption left no tensor {name!r} (it left: {left})")
        return self._corruption[name]

    def generator(self, purpose: str) -> torch.Generator:
        """The generator of a purpose."""
        return generator(self._seed, purpose)
