"""Methods that distil from teachers: SCRUB and bad teaching."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

from attrs import frozen

from harness.components import component, setting
from harness.data.pool import Batch, Pool
from harness.lazy import F, nn, torch
from harness.methods.gradient import short_recipe
from harness.methods.length import (
    allowance,
    budget,
    passes,
    samples_trained,
    with_length,
    within,
)
from harness.methods.task import Task
from harness.training.parameters import optimizer_of, with_lr

SCRUB_EPOCHS = 3


def divergence(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """T^2 * KL(softmax(teacher / T) || softmax(student / T)), [B, C] each, mean over samples."""
    kl = F.kl_div(
        F.log_softmax(student.float() / temperature, 1),
        F.log_softmax(teacher.float() / temperature, 1),
        log_target=True,
        reduction="batchmean",
    )
    return kl * temperature**2


@frozen
class Scrub:
    """Settings of ``scrub``."""

    epochs: int | None = setting(
        None, doc="passes over the retain set; 3 when no length is given", unit="epochs", gt=0
    )
    max_epochs: int = setting(
        2, doc="of these, those that begin with a max step", unit="epochs", ge=0
    )
    lr: float = setting(5e-4, doc="learning rate", gt=0)
    alpha: float = setting(1.0, doc="weight of the distillation loss on the retain set", ge=0)
    gamma: float = setting(1.0, doc="weight of the cross-entropy on the retain set", ge=0)
    temperature: float = setting(4.0, doc="of the softmax in the distillation loss", gt=0)
    forget_batch_size: int | None = setting(
        None, doc="batch of a max step; the recipe's when left out", unit="samples", gt=0
    )
    decay_after: tuple[int, ...] = setting(
        (),
        doc="after each of these epochs the rate is a tenth; published code: 3, 5, 9",
        unit="epochs",
        gt=0,
        later=True,
    )
    budget: float | None = budget()


def _scrub_work(settings: Scrub, sizes: Any) -> tuple[float, float]:
    epochs = settings.epochs or SCRUB_EPOCHS
    trained = epochs * sizes.retain + min(settings.max_epochs, epochs) * sizes.forget
    if settings.epochs is None and settings.budget is not None:
        trained = samples_trained(settings, sizes, sizes.retain)
    return 2 * trained, trained


@component(
    "methods",
    "scrub",
    settings=Scrub,
    source="Kurmanji et al. NeurIPS 2023 (arXiv 2302.09880), eq. 3 and algorithm 1",
    sees=frozenset({"retain", "forget", "original weights"}),
    within=within,
    same_as=lambda settings: passes(settings, SCRUB_EPOCHS),
    work=_scrub_work,
)
def scrub(model: nn.Module, task: Task, settings: Scrub) -> nn.Module:
    """Alternate max steps, away from the teacher on the forget set, and min steps.

    Max step: ascend on KL(teacher || student) over the forget set. Min step: descend on
    alpha * KL + gamma * cross-entropy over the retain set. The teacher is the base model. The
    published code lowers its rate on the way, which ``decay_after`` does. A budget ends it at the
    batch that it does not allow any more, whichever set that is of.
    """
    teacher, meter = task.original(), task.watch.meter
    size, allowed = task.recipe.batch_size, allowance(settings, task)
    optimizer = optimizer_of(model, short_recipe(task, settings, task.retain))
    forget_draws, retain_draws = task.generator("forget"), task.generator("retain")
    epochs = settings.epochs or SCRUB_EPOCHS
    if allowed < math.inf:
        epochs = math.ceil(allowed / len(task.retain))  # the longest that it can be

    def batches() -> Iterator[tuple[int, bool, Batch]]:
        """Epoch, whether it ascends, and batch of every step."""
        for epoch in range(epochs):
            if epoch < settings.max_epochs:
                forget_size = settings.forget_batch_size or size
                for batch in task.forget.epoch(forget_size, forget_draws):
                    yield epoch, True, batch
            for batch in task.retain.epoch(size, retain_draws):
                yield epoch, False, batch

    model.train()
    for epoch, ascend, batch in batches():
        if meter.steps and meter.backward_samples + len(batch.y) > allowed:
            break
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * 0.1 ** sum(epoch >= after for after in settings.decay_after)
        with torch.no_grad():
            taught = teacher(batch.x)
        logits = model(batch.x)
        loss = divergence(logits, taught, settings.temperature)
        if ascend:
            loss = -loss
        else:
            loss = settings.alpha * loss + settings.gamma * F.cross_entropy(logits, batch.y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        meter.forward(2 * len(batch.y))
        meter.backward(len(batch.y))
        meter.steps += 1
        task.watch.step(epoch, epochs, None)
    return model.eval()


@frozen
class BadTeacher:
    """Settings of ``bad_teacher``. ``steps`` goes before ``epochs``."""

    steps: int | None = setting(None, doc="length", unit="optimiser steps", gt=0)
    epochs: float | None = setting(
        None, doc="length; 1 when none is given", unit="passes over the data", gt=0
    )
    lr: float = setting(1e-3, doc="learning rate", gt=0)
    temperature: float = setting(1.0, doc="of the softmax in the loss", gt=0)
    recipe: Literal["constant", "base"] = setting(
        "constant",
        doc="constant rate and last weights, or the base recipe's schedule and checkpoint rule",
    )
    mean_over: Literal["samples", "elements"] = setting(
        "samples", doc="elements divides the divergence by the classes too, as Potion's code"
    )
    budget: float | None = budget()


@component(
    "methods",
    "bad_teacher",
    settings=BadTeacher,
    source="Chundawat et al. AAAI 2023 (arXiv 2205.08096), eq. 3",
    sees=frozenset({"retain", "forget", "original weights"}),
    within=within,
    same_as=passes,
    work=lambda s, sizes: (
        3 * samples_trained(s, sizes, sizes.train),
        samples_trained(s, sizes, sizes.train),
    ),
)
def bad_teacher(model: nn.Module, task: Task, settings: BadTeacher) -> nn.Module:
    """Follow a random model on the forget set, and the base model on the retain set."""
    competent = task.original()
    incompetent = task.fresh("incompetent teacher").eval().requires_grad_(False)
    pool = task.retain.joined(task.forget)
    forgotten = _members(pool, task.forget)
    parts = task.classes if settings.mean_over == "elements" else 1

    def loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        with torch.no_grad():
            task.watch.meter.forward(2 * len(batch.y))
            bad = forgotten[batch.row].view(-1, 1)
            taught = torch.where(bad, incompetent(batch.x), competent(batch.x))
        return divergence(logits, taught, settings.temperature) / parts

    if settings.recipe == "base":
        train = with_lr(with_length(task.recipe, passes(settings), task, pool), settings.lr)
    else:
        train = short_recipe(task, settings, pool)
    task.fit(model, pool, train, loss)
    return model


def _members(pool: Pool, of: Pool) -> torch.Tensor:
    """Whether each row of the split of ``pool`` is in ``of``: bool, on the device."""
    found = torch.zeros(1 + int(pool.index.max()), dtype=torch.bool)
    found[of.index] = True
    return found.to(pool.device)


@frozen
class ScrubGoel:
    """Settings of ``scrub_goel``."""

    steps: int = setting(1000, doc="length, ascent included", unit="optimiser steps", gt=0)
    ascent_steps: int = setting(
        100,
        doc="a pass over the forget set stands before each pass over the retain set that begins "
        "before this step (msteps)",
        unit="optimiser steps",
        ge=0,
    )
    lr: float = setting(0.0025, doc="peak learning rate", gt=0)
    alpha: float = setting(0.001, doc="weight of the distillation loss", ge=0)
    temperature: float = setting(4.0, doc="of the softmax in the distillation loss", gt=0)
    evaluate_after: Literal["epoch", "pass"] = setting(
        "epoch",
        doc="where the recipe keeps the best weights, they are evaluated whenever as many steps "
        "were taken as the retain set has batches, or after each pass over either set, as "
        "published code",
        later=True,
    )


def pass_ends(forget: int, retain: int, ascent_steps: int, steps: int) -> frozenset[int]:
    """The steps that end a pass, up to the first beyond ``steps``; sets are counted in batches."""
    ends, step = set(), 0
    while step < steps:
        for batches in (forget, retain) if step < ascent_steps else (retain,):
            step += batches
            ends.add(step)
    return frozenset(ends)


class _Alternating:
    """Passes over the forget set and the retain set in turn, as one pool."""

    def __init__(self, retain: Pool, forget: Pool, ascent_steps: int) -> None:
        self.retain, self.forget, self.ascent_steps = retain, forget, ascent_steps
        self.device, self.targets = retain.device, retain.targets
        self.taken = 0

    def __len__(self) -> int:
        return len(self.retain)

    def epoch(self, size: int, draws: torch.Generator, *, skip: int = 0) -> Iterator[Batch]:
        passes = [self.retain]
        if self.taken < self.ascent_steps:
            passes.insert(0, self.forget)
        for pool in passes:
            for batch in pool.epoch(size, draws):
                self.taken += 1
                yield batch


@component(
    "methods",
    "scrub_goel",
    settings=ScrubGoel,
    source="SCRUB as in Goel et al., arXiv 2402.14015, and Potion's code (protocol section 5)",
    sees=frozenset({"retain", "forget", "original weights"}),
    work=lambda s, sizes: (2 * s.steps * sizes.batch_size, s.steps * sizes.batch_size),
)
def scrub_goel(model: nn.Module, task: Task, settings: ScrubGoel) -> nn.Module:
    """SCRUB with the cross-entropy in the max step too, in a number of steps.

    L = cross-entropy + alpha * T^2 KL(base || model). Passes over the forget set ascend on L,
    passes over the retain set descend on it; the base recipe gives schedule and checkpoint rule.
    """
    teacher = task.original()
    pool: Any = _Alternating(task.retain, task.forget, settings.ascent_steps)
    ascends = _members(task.retain.joined(task.forget), task.forget)

    def loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        with torch.no_grad():
            task.watch.meter.forward(len(batch.y))
            taught = teacher(batch.x)
        total = F.cross_entropy(logits.float(), batch.y)
        total = total + settings.alpha * divergence(logits, taught, settings.temperature)
        return torch.where(ascends[batch.row[0]], -total, total)

    train = with_lr(task.recipe, settings.lr, steps=settings.steps, epochs=None)
    passes = None
    if settings.evaluate_after == "pass":
        forget, retain = (-(-len(p) // train.batch_size) for p in (task.forget, task.retain))
        passes = pass_ends(forget, retain, settings.ascent_steps, settings.steps)
    task.fit(model, pool, train, loss, resumable=False, passes=passes)
    return model
