"""Methods that distil from teachers: SCRUB and bad teaching."""

from __future__ import annotations

from attrs import frozen

from harness.components import component, setting
from harness.data.pool import Batch, Pool
from harness.lazy import F, nn, torch
from harness.methods.baselines import samples_trained
from harness.methods.gradient import short_recipe
from harness.methods.task import Task
from harness.training.parameters import optimizer_of


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

    epochs: int = setting(3, doc="passes over the retain set", unit="epochs", gt=0)
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


@component(
    "methods",
    "scrub",
    settings=Scrub,
    source="Kurmanji et al. NeurIPS 2023 (arXiv 2302.09880), eq. 3 and algorithm 1",
    sees=frozenset({"retain", "forget", "original weights"}),
    work=lambda s, sizes: (
        2 * (s.epochs * sizes.retain + min(s.max_epochs, s.epochs) * sizes.forget),
        s.epochs * sizes.retain + min(s.max_epochs, s.epochs) * sizes.forget,
    ),
)
def scrub(model: nn.Module, task: Task, settings: Scrub) -> nn.Module:
    """Alternate max steps, away from the teacher on the forget set, and min steps.

    Max step: ascend on KL(teacher || student) over the forget set. Min step: descend on
    alpha * KL + gamma * cross-entropy over the retain set. The teacher is the base model.
    """
    teacher = task.original()
    train = short_recipe(task.recipe, settings.lr, None, settings.epochs)
    optimizer = optimizer_of(model, train)
    forget_draws, retain_draws = task.generator("forget"), task.generator("retain")

    def sweep(pool: Pool, size: int, draws: torch.Generator, *, ascend: bool) -> None:
        model.train()
        for batch in pool.epoch(size, draws):
            with torch.no_grad():
                taught = teacher(batch.x)
            logits = model(batch.x)
            loss = divergence(logits, taught, settings.temperature)
            if ascend:
                loss = -loss
            else:
                ce = F.cross_entropy(logits, batch.y)
                loss = settings.alpha * loss + settings.gamma * ce
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            task.watch.meter.forward(2 * len(batch.y))
            task.watch.meter.backward(len(batch.y))
            task.watch.meter.steps += 1
            task.watch.step(epoch, settings.epochs, None)

    for epoch in range(settings.epochs):
        if epoch < settings.max_epochs:
            size = settings.forget_batch_size or train.batch_size
            sweep(task.forget, size, forget_draws, ascend=True)
        sweep(task.retain, train.batch_size, retain_draws, ascend=False)
    return model.eval()


@frozen
class BadTeacher:
    """Settings of ``bad_teacher``. ``steps`` goes before ``epochs``."""

    steps: int | None = setting(None, doc="length", unit="optimiser steps", gt=0)
    epochs: float = setting(1.0, doc="length", unit="passes over the data", gt=0)
    lr: float = setting(1e-3, doc="learning rate", gt=0)
    temperature: float = setting(1.0, doc="of the softmax in the loss", gt=0)


@component(
    "methods",
    "bad_teacher",
    settings=BadTeacher,
    source="Chundawat et al. AAAI 2023 (arXiv 2205.08096), eq. 3",
    sees=frozenset({"retain", "forget", "original weights"}),
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
    forgotten = torch.zeros(1 + int(pool.index.max()), dtype=torch.bool)
    forgotten[task.forget.index] = True
    forgotten = forgotten.to(task.device)

    def loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        with torch.no_grad():
            task.watch.meter.forward(2 * len(batch.y))
            bad = forgotten[batch.row].view(-1, 1)
            taught = torch.where(bad, incompetent(batch.x), competent(batch.x))
        return divergence(logits, taught, settings.temperature)

    task.fit(
        model, pool, short_recipe(task.recipe, settings.lr, settings.steps, settings.epochs), loss
    )
    return model
