"""One training under way: its state and its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import define, frozen

from harness.components import get
from harness.data.pool import Batch, Pool
from harness.errors import Diverged
from harness.lazy import nn, torch
from harness.spec.blocks import Train
from harness.training.adversary import Adversary
from harness.training.length import Length, loss_every
from harness.training.losses import Loss
from harness.training.optimizer_state import below, optimizer_tensors, restore_optimizer
from harness.training.parameters import averaged, clip_gradients, optimizer_of
from harness.training.precision import arithmetic
from harness.training.seeding import layer_draws, restore_layer_draws
from harness.training.watch import Watch


@frozen
class Fitted:
    """What a training leaves beside the weights."""

    steps: int
    best_step: int | None
    losses: tuple[float, ...]
    snapshots: Mapping[int, Mapping[str, torch.Tensor]] = {}

    def as_dict(self) -> dict[str, Any]:
        """For a record: all but the snapshots."""
        return {"steps": self.steps, "best_step": self.best_step, "losses": self.losses}


@frozen
class _Step:
    samples: int
    loss: float | None


@define
class _Best:
    score: float
    step: int
    weights: dict[str, torch.Tensor]


class Run:
    """One training under way: everything that has to be saved to go on exactly."""

    def __init__(
        self,
        model: nn.Module,
        pool: Pool,
        train: Train,
        length: Length,
        draws: torch.Generator,
        loss: Loss,
    ) -> None:
        self.model, self.pool, self.train, self.loss = model, pool, train, loss
        self.joint: Callable[[Batch, Loss], torch.Tensor] | None = None
        self.evaluate: Callable[[nn.Module], float] | None = None
        self.length, self.total, self.epoch = length, length.total, length.epoch
        self.optimizer = optimizer_of(model, train)
        self.peaks = [group["lr"] for group in self.optimizer.param_groups]
        self.draws, self.draws_state = draws, draws.get_state()
        self.scaler = torch.amp.GradScaler(pool.device.type, enabled=train.precision == "fp16")
        self.average = averaged(model, train)
        self.step = 0
        self.losses: list[float] = []
        self.best: _Best | None = None
        self.wanted: frozenset[int] = frozenset()
        self.before_step: Callable[[nn.Module, int], None] | None = None
        self.adversary: Adversary | None = None
        self.snapshots: dict[int, dict[str, torch.Tensor]] = {}
        self.factor = get("schedules", train.schedule.name).function
        self.autocast = arithmetic(pool.device.type, train.precision)

    def steps(self) -> Iterator[_Step]:
        """Take every step that is left, one for each item."""
        for batch in self.batches():
            yield _Step(len(batch.y), self.show(self._take(batch)))

    def batches(self) -> Iterator[Batch]:
        """The batch of every step that is left; the step has been taken when the next is asked."""
        self.keep_snapshot()
        self.model.train()
        skip = self.step % self.epoch
        while self.step < self.total:
            self.draws_state = self.draws.get_state()
            for batch in self.pool.epoch(self.train.batch_size, self.draws, skip=skip):
                yield batch
                if self.step >= self.total:
                    return
            skip = 0

    def _take(self, batch: Batch) -> torch.Tensor:
        """One optimiser step. Returns the loss on the device."""
        self.set_rate(self.optimizer)
        if self.adversary is not None:
            batch = self.adversary(self.model, batch, self.step)
        with self.autocast:
            joint = self.joint
            loss = joint(batch, self.loss) if joint else self.loss(self.model(batch.x), batch)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        if self.train.clip_norm is not None or self.before_step is not None:
            self.scaler.unscale_(self.optimizer)
        if self.train.clip_norm is not None:
            clip_gradients(self.model, self.train.clip_norm)
        if self.before_step is not None:
            self.before_step(self.model, self.step)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.step += 1
        self.keep_snapshot()
        self._keep_best()
        return loss.detach()

    def set_rate(self, optimizer: torch.optim.Optimizer) -> None:
        """Give the groups of ``optimizer`` the learning rate of the next step."""
        settings = self.train.schedule.settings
        factor = self.factor(settings, self.step, self.length.planned, self.epoch)
        for group, peak in zip(optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor

    def show(self, loss: torch.Tensor) -> float | None:
        """The loss on the host, now and then: reading it waits for the device."""
        if self.step % loss_every(self.total) and self.step != self.total:
            return None
        value = loss.item()
        if value != value or value in (float("inf"), float("-inf")):
            raise Diverged(f"the loss is {value} at step {self.step}; lower the learning rate")
        self.losses.append(round(value, 6))
        return value

    def _keep_best(self) -> None:
        every = self.train.evaluate_every
        due = self.step % every == 0 if every else self.length.ends_pass(self.step)
        if self.evaluate is None or not (due or self.step == self.total):
            return
        shown = self._shown_model().eval()
        score = self.evaluate(shown)
        self.model.train()
        if self.best is None or score > self.best.score:
            weights = {name: value.clone() for name, value in shown.state_dict().items()}
            self.best = _Best(score, self.step, weights)

    def keep_snapshot(self) -> None:
        """Keep the weights, where they are wanted after this step."""
        if self.step in self.wanted and self.step not in self.snapshots:
            weights = self._shown_model().state_dict()
            self.snapshots[self.step] = {k: v.detach().cpu().clone() for k, v in weights.items()}

    def _shown_model(self) -> nn.Module:
        """The model that counts: the average of the weights where there is one."""
        return self.model if self.average is None else self.average.module

    def finish(self) -> Fitted:
        """Put the weights that count into the model."""
        if self.best is not None:
            self.model.load_state_dict(self.best.weights)
        elif self.average is not None:
            self.model.load_state_dict(self.average.module.state_dict())
        self.model.eval()
        best_step = self.best.step if self.best is not None else None
        return Fitted(self.step, best_step, tuple(self.losses), self.snapshots)

    def state(self, watch: Watch) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Everything that goes on from here, as tensors and JSON."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"optimizer.{k}": v for k, v in optimizer_tensors(self.optimizer).items()}
        if self.average is not None:
            tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        if self.best is not None:
            tensors |= {f"best.{k}": v for k, v in self.best.weights.items()}
        for step, weights in self.snapshots.items():
            tensors |= {f"snapshot.{step}.{k}": v for k, v in weights.items()}
        tensors["draws"] = self.draws_state
        tensors |= {f"layers.{k}": v for k, v in layer_draws(self.pool.device).items()}
        best = None if self.best is None else {"score": self.best.score, "step": self.best.step}
        state = {
            "step": self.step,
            "losses": list(self.losses),
            "best": best,
            "scaler": self.scaler.state_dict(),
            "meter": watch.meter.as_dict(),
        }
        # safetensors takes contiguous tensors only; convolutions on CUDA are channels-last.
        copies = {
            name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, value in tensors.items()
        }
        return copies, state

    def restore(
        self, tensors: dict[str, torch.Tensor], state: dict[str, Any], watch: Watch
    ) -> None:
        """Go on from a saved state."""
        self.step = state["step"]
        self.losses = list(state["losses"])
        self.model.load_state_dict(below("model.", tensors))
        restore_optimizer(self.optimizer, below("optimizer.", tensors))
        if self.average is not None:
            self.average.load_state_dict(below("average.", tensors))
        if state["best"] is not None:
            weights = below("best.", tensors)
            self.best = _Best(state["best"]["score"], state["best"]["step"], weights)
        self.snapshots.clear()
        for name, value in below("snapshot.", tensors).items():
            step, weight = name.split(".", 1)
            self.snapshots.setdefault(int(step), {})[weight] = value
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        self.draws.set_state(tensors["draws"])
        restore_layer_draws(below("layers.", tensors), self.pool.device)
        if self.step and self.step % self.epoch == 0:
            # The epoch is over: consume its draws, and the next one begins.
            for _ in self.pool.epoch(self.train.batch_size, self.draws, skip=self.epoch):
                pass
        watch.meter.restore(state["meter"])
