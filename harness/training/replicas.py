"""Trainings that differ in their seed alone, taken together: one pass through all models a step.

Every model keeps its batches, draws, BatchNorm statistics and optimiser state; weights are stacked,
and ``torch.func.vmap`` makes grouped convolutions of the layers. What comes out is what training
alone gives, up to rounding: sums are taken in another order.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from attrs import Factory, define

from harness.components import get
from harness.data.pool import Batch
from harness.errors import Diverged, Interrupted, OverBudget
from harness.lazy import torch
from harness.training.loop import Run
from harness.training.optimizer_state import optimizer_tensors, restore_optimizer
from harness.training.seeding import seeded_layers
from harness.training.watch import Slot, Watch

SAVING_SHARE = 0.1  # of the time of a training, at most

T = TypeVar("T")


def take_turns(works: Sequence[Callable[[Seat], T]]) -> list[T]:
    """What ``works`` give, each in a thread of its own, of which one goes on at a time.

    Where all that are left are at a training (``fit`` with the seat as its watch's ``meeting``),
    those that are alike become one.
    """
    meeting = _Meeting(len(works))
    futures: list[Future[T]] = [Future() for _ in works]

    def carry_out(work: Callable[[Seat], T], future: Future[T]) -> None:
        with meeting.turn:
            try:
                future.set_result(work(Seat(meeting)))
            except BaseException as error:
                future.set_exception(error)
            meeting.leave()

    # As daemons, because a second Ctrl-C ends at once.
    for work, future in zip(works, futures, strict=True):
        threading.Thread(target=carry_out, args=(work, future), daemon=True).start()
    return [future.result() for future in futures]


@define(eq=False)
class Seat:
    """The place of one stage in a meeting.

    ``replicas`` is the most models that one of its trainings was taken together with, itself
    included; ``away`` the seconds (``wall``, ``cpu``) of its life that were spent on others.
    """

    _meeting: _Meeting
    replicas: int = 1
    away: dict[str, float] = Factory(lambda: {"wall": 0.0, "cpu": 0.0})

    def train(self, run: Run, watch: Watch, slot: Slot | None) -> bool:
        """Take all steps of ``run`` with others. False: nobody's is like it, or one pass through
        all does not work, and it has to be trained alone. Raises what its watch raises."""
        if not _stackable(run):
            return False
        with seeded_layers(0, run.pool.device):
            run.go_on(watch, slot)
        member, begun = _Member(run, watch, slot), _now()
        self._meeting.wait_for(member)
        for name, now in _now().items():
            self.away[name] += now - begun[name] - member.took[name] / member.count
        together = member.done.result()
        if together:
            self.replicas = max(self.replicas, member.count)
        return together


def _now() -> dict[str, float]:
    return {"wall": time.monotonic(), "cpu": time.process_time()}


@define(eq=False)
class _Member:
    """A run that waits in a meeting; ``done`` says whether it was trained there, or raises."""

    run: Run
    watch: Watch
    slot: Slot | None
    count: int = 1
    took: dict[str, float] = Factory(lambda: {"wall": 0.0, "cpu": 0.0})
    done: Future[bool] = Factory(Future)


class _Meeting:
    """Who is left, and who of them waits at a training. Only the holder of ``turn`` touches it."""

    def __init__(self, members: int) -> None:
        self.turn = threading.Lock()
        self._left = members
        self._waiting: list[_Member] = []

    def wait_for(self, member: _Member) -> None:
        """Come back when ``member`` is done."""
        self._waiting.append(member)
        self._train_if_all_wait()
        if not member.done.done():
            self.turn.release()
            member.done.exception()  # waits
            self.turn.acquire()

    def leave(self) -> None:
        """A stage is over."""
        self._left -= 1
        self._train_if_all_wait()

    def _train_if_all_wait(self) -> None:
        if not self._waiting or len(self._waiting) < self._left:
            return
        alike: dict[Any, list[_Member]] = {}
        for member in self._waiting:
            alike.setdefault(_shape(member.run), []).append(member)
        self._waiting = []
        for members in alike.values():
            try:
                _train(members)
            except BaseException as error:  # it is that of all: they would wait for ever
                for member in members:
                    if not member.done.done():
                        member.done.set_exception(error)


def _stackable(run: Run) -> bool:
    """Whether each of the steps of ``run`` is elementwise over models."""
    train, parameters = run.train, list(run.model.parameters())
    return (
        run.evaluate is None
        and run.average is None
        and train.clip_norm is None
        and train.precision != "fp16"  # one scale of the loss for all
        and type(run.optimizer) in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
        and torch.is_tensor(run.pool.encoding.example())
        and all(p.ndim for p in parameters)
    )


def _shape(run: Run) -> tuple[Any, ...]:
    """What has to be equal for runs to be taken together: all but weights and draws."""
    weights = [(n, p.shape, p.dtype, p.requires_grad) for n, p in run.model.named_parameters()]
    return repr(run.model), *weights, run.train, len(run.pool), run.length, run.wanted, run.step


def _train(members: Sequence[_Member]) -> None:
    """Train ``members``, which are alike, and tell each what came of it. Raises Interrupted."""
    if len(members) == 1:
        members[0].done.set_result(False)
        return
    begun, starts = _now(), [member.run.state(member.watch) for member in members]
    try:
        with seeded_layers(0, members[0].run.pool.device):
            _take_steps(members)
    except RuntimeError:
        # A layer that draws or that vmap does not know, or too little memory: alone it may work.
        pass
    took = {name: now - begun[name] for name, now in _now().items()}
    for member, start in zip(members, starts, strict=True):
        member.count, member.took = len(members), took
        if not member.done.done():
            member.run.restore(*start, member.watch)
            member.done.set_result(False)


def _take_steps(members: Sequence[_Member]) -> None:
    """Take the steps of ``members``; those that diverge on the way are left undone.

    A library may compute a grouped convolution as one that is dense with zeros, and what is not
    finite in one model would then reach the others: alone, each shows whether it diverges itself.
    """
    stack, live = _Stack([member.run for member in members]), list(members)
    saved, resting = time.monotonic(), 0.0
    for batches in zip(*(member.run.batches() for member in members), strict=True):
        losses, shown = stack.step(batches), {}
        for member, loss in zip(members, losses, strict=True):
            member.watch.meter.step(len(batches[0].y))
            with suppress(Diverged):
                shown[member] = member.run.show(loss)
        live = [member for member in live if member in shown]
        try:
            live = [member for member in live if _goes_on(member, shown[member])]
        except Interrupted:
            stack.save(live)
            raise
        if not live:
            return
        if time.monotonic() - saved > resting and any(m.slot and m.slot.due() for m in live):
            begun = time.monotonic()
            stack.save(live)
            saved = time.monotonic()
            resting = (saved - begun) / SAVING_SHARE
    stack.unstack()
    for member in live:
        member.done.set_result(True)


def _goes_on(member: _Member, loss: float | None) -> bool:
    """Whether the watch of ``member`` lets it go on after a step. Raises Interrupted."""
    try:
        member.watch.step(member.run.step, member.run.total, loss)
    except OverBudget as error:
        member.done.set_exception(error)
        return False
    return True


class _Stack:
    """The weights and optimiser states of several runs along a new first dimension."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs, self.first = runs, runs[0]
        self.parameters = _stacked([dict(run.model.named_parameters()) for run in runs])
        self.buffers = _stacked([dict(run.model.named_buffers()) for run in runs])
        stacks = {}
        for name, parameter in self.first.model.named_parameters():
            stacks[parameter] = self.parameters[name].requires_grad_(parameter.requires_grad)
        groups = [
            {"params": [stacks[p] for p in group["params"]], "weight_decay": group["weight_decay"]}
            for group in self.first.optimizer.param_groups
        ]
        use = self.first.train.optimizer
        self.optimizer = get("optimizers", use.name).function(use.settings, groups)
        states = [optimizer_tensors(run.optimizer) for run in runs]
        counts = {name: value for name, value in states[0].items() if not value.ndim}
        restore_optimizer(self.optimizer, {**_stacked(states), **counts})

    def step(self, batches: Sequence[Batch]) -> torch.Tensor:
        """One optimiser step of every run on its batch. Returns the losses on the device."""
        self.first.set_rate(self.optimizer)
        x = torch.stack([batch.x for batch in batches])
        with self.first.autocast:
            forward = torch.func.vmap(self._forward, randomness="error")
            logits = forward(self.parameters, self.buffers, x)
            losses = [r.loss(z, b) for r, z, b in zip(self.runs, logits, batches, strict=True)]
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(losses).sum().backward()
        self.optimizer.step()
        for run in self.runs:
            run.step += 1
        if self.first.step in self.first.wanted:
            self.unstack()
            for run in self.runs:
                run.keep_snapshot()
        return torch.stack(losses).detach()

    def _forward(self, parameters: Any, buffers: Any, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor
        logits = torch.func.functional_call(self.first.model, (parameters, buffers), (x,))
        return logits

    def unstack(self) -> None:
        """Put weights, statistics and optimiser states into the runs."""
        weights, states = {**self.parameters, **self.buffers}, optimizer_tensors(self.optimizer)
        with torch.no_grad():
            for number, run in enumerate(self.runs):
                own = dict(run.model.named_parameters()) | dict(run.model.named_buffers())
                for name, value in own.items():
                    value.copy_(weights[name][number])
                restore_optimizer(
                    run.optimizer, {n: v[number] if v.ndim else v for n, v in states.items()}
                )

    def save(self, members: Sequence[_Member]) -> None:
        """Save each as if it were trained alone, so that it also goes on alone."""
        self.unstack()
        for member in members:
            if member.slot is not None:
                member.slot.save(*member.run.state(member.watch))


def _stacked(every: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {name: torch.stack([each[name].detach() for each in every]) for name in every[0]}
