"""Trainings that differ in their seed alone, taken together: one pass through all models a step.

Every model keeps its batches, draws, BatchNorm statistics and optimiser state; weights are stacked,
and ``torch.func.vmap`` makes grouped convolutions of the layers. What comes out is what training
alone gives, up to rounding, because sums are taken in another order: within 1e-4 in every weight
after 20 steps in fp32. Training enlarges rounding: more steps, bf16, and Adam where a gradient is
nothing but rounding (a bias before BatchNorm) take two runs of one seed further apart.

Nobody has run this on a GPU so far.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from harness.components import get
from harness.data.pool import Batch
from harness.errors import Diverged, Interrupted, OverBudget
from harness.lazy import torch
from harness.training.optimizer_state import optimizer_tensors, restore_optimizer
from harness.training.run import Run
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


class Seat:
    """The place of one stage in a meeting.

    ``replicas`` is the most models that one of its trainings was taken together with, itself
    included; ``away`` the seconds of its life that were spent on others.
    """

    run: Run
    watch: Watch
    slot: Slot | None
    done: Future[bool]  # whether the run was trained with others
    share: float  # of the seconds that this took

    def __init__(self, meeting: _Meeting) -> None:
        self.meeting, self.replicas, self.away = meeting, 1, 0.0

    def train(self, run: Run, watch: Watch, slot: Slot | None) -> bool:
        """Take all steps of ``run`` with others. False: nobody's is like it, or one pass through
        all does not work, and it has to be trained alone. Raises what its watch raises."""
        if not _stackable(run):
            return False
        if slot is not None and (saved := slot.load()) is not None:
            with seeded_layers(0, run.pool.device):
                run.restore(*saved, watch)
        self.run, self.watch, self.slot = run, watch, slot
        self.done, self.share, begun = Future(), 0.0, time.monotonic()
        self.meeting.wait_for(self)
        self.away += time.monotonic() - begun - self.share
        return self.done.result()


class _Meeting:
    """Who is left, and who of them waits at a training. Only the holder of ``turn`` touches it."""

    def __init__(self, members: int) -> None:
        self.turn = threading.Lock()
        self._left = members
        self._waiting: list[Seat] = []

    def wait_for(self, seat: Seat) -> None:
        """Come back when the run of ``seat`` is done."""
        self._waiting.append(seat)
        self._train_if_all_wait()
        if not seat.done.done():
            self.turn.release()
            seat.done.exception()  # waits
            self.turn.acquire()

    def leave(self) -> None:
        """A stage is over."""
        self._left -= 1
        self._train_if_all_wait()

    def _train_if_all_wait(self) -> None:
        if not self._waiting or len(self._waiting) < self._left:
            return
        alike: dict[Any, list[Seat]] = {}
        for seat in self._waiting:
            alike.setdefault(_shape(seat.run), []).append(seat)
        self._waiting = []
        for seats in alike.values():
            try:
                _train(seats)
            except BaseException as error:  # it is that of all: they would wait for ever
                for seat in _undone(seats):
                    seat.done.set_exception(error)


def _undone(seats: Sequence[Seat]) -> list[Seat]:
    return [seat for seat in seats if not seat.done.done()]


def _stackable(run: Run) -> bool:
    """Whether each of the steps of ``run`` is elementwise over models."""
    train = run.train
    return (
        run.joint is None
        and run.evaluate is None
        and run.average is None
        and run.before_step is None
        and run.adversary is None
        and not hasattr(run.model, "see_inputs")  # such a model looks up what it has learned
        and train.clip_norm is None
        and train.precision != "fp16"  # one scale of the loss for all
        and type(run.optimizer) in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
        and torch.is_tensor(run.pool.encoding.example())
        and all(parameter.ndim for parameter in run.model.parameters())
    )


def _shape(run: Run) -> tuple[Any, ...]:
    """What has to be equal for runs to be taken together: all but weights and draws."""
    weights = [(n, p.shape, p.dtype, p.requires_grad) for n, p in run.model.named_parameters()]
    return repr(run.model), *weights, run.train, len(run.pool), run.length, run.wanted, run.step


def _train(seats: Sequence[Seat]) -> None:
    """Train the runs of ``seats``, which are alike, and tell each what came of it.

    One whose loss is not finite is trained again alone, and shows whether that is its own doing: a
    library may compute a grouped convolution as one that is dense with zeros, through which what
    is not finite in one model reaches the others.
    """
    if len(seats) == 1:
        seats[0].done.set_result(False)
        return
    begun, starts = time.monotonic(), [seat.run.state(seat.watch) for seat in seats]
    trained: list[Seat] = []
    try:
        with seeded_layers(0, seats[0].run.pool.device):
            trained = _take_steps(seats)
    except RuntimeError as error:
        # A layer that draws or that vmap does not know, or too little memory: alone it may work.
        warnings.warn(f"{len(seats)} models are trained one by one: {error}", stacklevel=1)
    for seat, start in zip(seats, starts, strict=True):
        seat.share = (time.monotonic() - begun) / len(seats)
        if seat in trained:
            seat.replicas = max(seat.replicas, len(seats))
        elif not seat.done.done():
            seat.run.restore(*start, seat.watch)
    for seat in _undone(seats):
        seat.done.set_result(seat in trained)


def _take_steps(seats: Sequence[Seat]) -> list[Seat]:
    """Take the steps of the runs. Returns the seats of those that came to their end."""
    stack, live = _Stack([seat.run for seat in seats]), list(seats)
    rest = 0.0
    for batches in zip(*(seat.run.batches() for seat in seats), strict=True):
        losses, shown = stack.step(batches), {}
        for seat, loss in zip(seats, losses, strict=True):
            seat.watch.meter.step(len(batches[0].y))
            with suppress(Diverged):
                shown[seat] = seat.run.show(loss)
        live = [seat for seat in _undone(live) if seat in shown]
        if not live:
            return []
        try:
            for seat in live:
                seat.watch.step(seat.run.step, seat.run.total, shown[seat])
        except OverBudget as error:
            seat.done.set_exception(error)
        except Interrupted:
            stack.save(live)
            raise
        begun = time.monotonic()
        if begun > rest and any(seat.slot and seat.slot.due() for seat in live):
            stack.save(live)
            rest = begun + (time.monotonic() - begun) / SAVING_SHARE
    stack.unstack()
    return _undone(live)


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
        model = self.first.model
        self.first.set_rate(self.optimizer)
        x = torch.stack([batch.x for batch in batches]).contiguous()
        with self.first.autocast:
            logits = torch.func.vmap(
                lambda *inputs: torch.func.functional_call(model, inputs[:2], inputs[2]),
                randomness="error",
            )(self.parameters, self.buffers, x)
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

    def unstack(self) -> None:
        """Put weights, statistics and optimiser states into the runs."""
        weights, states = {**self.parameters, **self.buffers}, optimizer_tensors(self.optimizer)
        for number, run in enumerate(self.runs):
            own = {**dict(run.model.named_parameters()), **dict(run.model.named_buffers())}
            for name, value in own.items():
                value.detach().copy_(weights[name][number].detach())
            its = {name: value[number] if value.ndim else value for name, value in states.items()}
            restore_optimizer(run.optimizer, its)

    def save(self, seats: Sequence[Seat]) -> None:
        """Save each as if it were trained alone, so that it also goes on alone."""
        self.unstack()
        for seat in seats:
            if seat.slot is not None:
                seat.slot.save(*seat.run.state(seat.watch))


def _stacked(every: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    # Contiguous: vmap pools channels-last images one by one.
    return {n: torch.stack([each[n].detach() for each in every]).contiguous() for n in every[0]}
