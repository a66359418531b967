"""The challenge's first place: uniform outputs on the forget set, then contrast and repair."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from attrs import frozen

from harness.components import Facts, Misfit, component, setting
from harness.data.pool import Batch, Pool
from harness.lazy import F, nn, torch
from harness.methods.task import Task
from harness.spec.blocks import Train
from harness.spec.structure import structure_use
from harness.training.parameters import optimizer_of
from harness.training.seeding import seeded_layers


@frozen
class UniformContrastive:
    """Settings of ``kl_uniform_contrastive``; defaults as published."""

    divergence: Literal["kl", "jsd", "jsd_published"] = setting(
        "kl",
        doc="distance from the uniform distribution in the first stage; jsd_published is the "
        "student study's, which takes the softmax of probabilities and is no JSD",
    )
    symmetric_weight: float = setting(
        0.0,
        doc="w in KL(u || p) + w * KL(p || u), u uniform; the student study: 0.5, 0.8, 0.85, 1",
        ge=0,
    )
    uniform_lr: float = setting(5e-3, doc="learning rate of the first stage", gt=0)
    epochs: int = setting(8, doc="turns of forget rounds and a retain round", unit="epochs", gt=0)
    forget_rounds: int = setting(1, doc="forget rounds before each retain round", gt=0)
    forget_batch_size: int = setting(64, doc="batch of forget samples", unit="samples", gt=0)
    retain_batch_size: int = setting(256, doc="batch of retain samples", unit="samples", gt=0)
    temperature: float = setting(1.15, doc="divides the similarities of the contrast", gt=0)
    forget_lr: float = setting(3e-4, doc="first learning rate of the forget rounds", gt=0)
    forget_lr_floor: float = setting(1e-6, doc="where its cosine ends", ge=0)
    cosine_over: Literal["epochs", "rounds"] = setting(
        "epochs",
        doc="the cosine is as long as one forget round in each epoch, so that with more the rate "
        "rises again, as published; or as all forget rounds",
    )
    retain_lr: float = setting(
        1e-3, doc="rate of the retain rounds for a batch of 64; it grows with the batch", gt=0
    )
    retain_weight_decay: float = setting(0.01, doc="L2 penalty in the retain rounds", ge=0)
    momentum: float = setting(0.9, doc="momentum of all three optimisers", ge=0, lt=1)
    augment: bool = setting(False, doc="augment batches as the spec's data say")


def misfits(settings: UniformContrastive, facts: Facts) -> Iterable[Misfit]:
    """A weight that the divergence does not have."""
    if settings.divergence == "jsd" and settings.symmetric_weight:
        yield Misfit("symmetric_weight", "a JSD is symmetric and has no weight; leave it at 0")


def _kl(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """KL(p || q) of log-probabilities [B, C] each, mean over samples."""
    return F.kl_div(q, p, log_target=True, reduction="batchmean")


def from_uniform(logits: torch.Tensor, settings: UniformContrastive) -> torch.Tensor:
    """The divergence of softmax(logits), [B, C], from the uniform distribution, mean over samples.

    In nats. kl: KL(u || p) + w * KL(p || u). jsd: [KL(p || m) + KL(u || m)] / 2, m = (p + u) / 2.
    jsd_published: [S(p) + S(u)] / 2 with S(a) = KL(m || softmax(a)) + w * KL(softmax(a) || m).
    """
    p = F.log_softmax(logits.float(), 1)
    u = torch.full_like(p, -math.log(p.shape[1]))

    def both(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        return _kl(q, p) + settings.symmetric_weight * _kl(p, q)

    if settings.divergence == "kl":
        return both(p, u)
    m = torch.logaddexp(p, u) - math.log(2)
    if settings.divergence == "jsd":
        return (_kl(p, m) + _kl(u, m)) / 2
    return (both(F.log_softmax(p.exp(), 1), m) + both(u, m)) / 2


def contrast(forget: torch.Tensor, retain: torch.Tensor, temperature: float) -> torch.Tensor:
    """-mean of log softmax(forget @ retain.T / temperature) over rows; logits [F, C] and [R, C].

    At least ln(R), where each forget sample is as similar to one retain sample as to another.
    """
    return -F.log_softmax(forget.float() @ retain.float().T / temperature, 1).mean()


def _sgd(settings: UniformContrastive, lr: float, weight_decay: float = 0.0, **more: Any) -> Train:
    plain = {"lr": lr, "momentum": settings.momentum, "weight_decay": weight_decay}
    return Train(optimizer=structure_use("optimizers", {"name": "sgd", **plain}), **more)


def _work(settings: UniformContrastive, sizes: Any) -> tuple[float, float]:
    own, other = settings.forget_batch_size, settings.retain_batch_size
    pairs = min(-(-sizes.forget // own), -(-sizes.retain // other))
    rounds = settings.epochs * settings.forget_rounds
    trained = sizes.forget + rounds * min(sizes.forget, pairs * own)
    trained += settings.epochs * sizes.retain
    return trained + rounds * min(sizes.retain, pairs * other), trained


@component(
    "methods",
    "kl_uniform_contrastive",
    settings=UniformContrastive,
    source="fanchuan, first place of the NeurIPS 2023 unlearning challenge (protocol 4.1, 4.2)",
    sees=frozenset({"retain", "forget", "original weights"}),
    check=misfits,
    work=_work,
)
def kl_uniform_contrastive(model: nn.Module, task: Task, settings: UniformContrastive) -> nn.Module:
    """Outputs on the forget set become uniform; then contrast and retraining take turns.

    First a pass over the forget set descends on ``from_uniform``. Then, in each epoch, forget
    rounds descend on ``contrast`` of a forget batch with a retain batch whose logits are held,
    until the shorter set ends, and a retain round descends on the cross-entropy. Each kind of round
    keeps its optimiser from epoch to epoch. All passes are in train mode and in fp32.
    """
    forget, retain = (pool.augmented(settings.augment) for pool in (task.forget, task.retain))
    size, meter = settings.forget_batch_size, task.watch.meter
    first = _sgd(settings, settings.uniform_lr, epochs=1, batch_size=size)
    task.fit(model, forget, first, lambda logits, batch: from_uniform(logits, settings))
    with seeded_layers(task.generator("layers").initial_seed(), task.device):
        for epoch, optimizer, loss, batch in _turns(model.train(), task, settings, forget, retain):
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            meter.forward(len(batch.y))
            meter.backward(len(batch.y))
            meter.steps += 1
            task.watch.step(epoch, settings.epochs, None)
    return model.eval()


def _turns(
    model: nn.Module, task: Task, settings: UniformContrastive, forget: Pool, retain: Pool
) -> Iterator[tuple[int, torch.optim.Optimizer, torch.Tensor, Batch]]:
    """What each step of the rounds descends on: its epoch, optimiser, loss and batch."""
    size, retain_size = settings.forget_batch_size, settings.retain_batch_size
    retain_lr = settings.retain_lr * retain_size / 64
    forgetting = optimizer_of(model, _sgd(settings, settings.forget_lr))
    retaining = optimizer_of(model, _sgd(settings, retain_lr, settings.retain_weight_decay))
    half = settings.epochs * -(-len(forget) // size)
    half *= settings.forget_rounds if settings.cosine_over == "rounds" else 1
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(forgetting, half, settings.forget_lr_floor)
    forget_draws, held_draws, retain_draws = map(
        task.generator, ("forget batches", "contrast batches", "retain batches")
    )
    for epoch in range(settings.epochs):
        for _ in range(settings.forget_rounds):
            others = retain.epoch(retain_size, held_draws)
            for batch, other in zip(forget.epoch(size, forget_draws), others, strict=False):
                logits = model(batch.x)
                with torch.no_grad():
                    held = model(other.x)
                task.watch.meter.forward(len(other.y))
                yield epoch, forgetting, contrast(logits, held, settings.temperature), batch
                cosine.step()
        for batch in retain.epoch(retain_size, retain_draws):
            yield epoch, retaining, F.cross_entropy(model(batch.x).float(), batch.y), batch
