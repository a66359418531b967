"""Ascent along the part of a gradient that does not touch what stays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import frozen

from harness.components import component, setting
from harness.data.pool import Batch
from harness.lazy import F, nn, torch
from harness.methods.task import Task
from harness.training.seeding import seeded_layers


@frozen
class GradientProjection:
    """Settings of ``gradient_projection``; defaults as submitted to the challenge."""

    rounds: tuple[int, ...] = setting(
        (5, 3),
        doc="passes of each round over the set that drives it: a forget round, a retain round and "
        "so on in turn; 5, 3 was submitted, slide 23 has 3, 1, 2, 1, 2, 1",
        unit="epochs",
        gt=0,
    )
    forget_lr: float = setting(0.02, doc="step of the forget rounds", gt=0)
    retain_lr: float = setting(0.02, doc="step of the retain rounds", gt=0)
    forget_batch_size: int = setting(128, doc="batch in forget rounds", unit="samples", gt=0)
    retain_batch_size: int = setting(256, doc="batch in retain rounds", unit="samples", gt=0)
    protected_batch_size: int = setting(
        64, doc="batch of the other set, drawn anew at each step", unit="samples", gt=0
    )
    decay: float = setting(
        0.9, doc="decay of the moving average of directions, from 0 in each round", ge=0, lt=1
    )
    accumulated_gradients: bool = setting(
        False,
        doc="project from the sum of all gradients so far, which the submitted code never zeroed, "
        "instead of the protected batch's gradient",
    )
    augment: bool = setting(False, doc="augment batches as the spec's data say")


def _rounds(
    settings: GradientProjection, forget: Any, retain: Any
) -> Iterator[tuple[Any, Any, int, int, float]]:
    """What drives each round, what it protects, its passes, batch size and signed step."""
    for number, epochs in enumerate(settings.rounds):
        if number % 2:
            yield retain, forget, epochs, settings.retain_batch_size, -settings.retain_lr
        else:
            yield forget, retain, epochs, settings.forget_batch_size, settings.forget_lr


def _work(settings: GradientProjection, sizes: Any) -> tuple[float, float]:
    samples = 0
    rounds = _rounds(settings, range(sizes.forget), range(sizes.retain))
    for driving, other, epochs, size, _ in rounds:
        protected = -(-len(driving) // size) * min(settings.protected_batch_size, len(other))
        samples += epochs * (len(driving) + protected)
    return samples, samples


def orthogonal(vector: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """The part of ``vector`` at right angles to ``direction``, [n] each; all of it for a zero."""
    share = (vector @ direction / (direction @ direction)).nan_to_num()
    return vector - share * direction


@component(
    "methods",
    "gradient_projection",
    settings=GradientProjection,
    source="student study of the NeurIPS 2023 unlearning challenge, slides 20-23 (protocol 4.3)",
    sees=frozenset({"retain", "forget", "original weights"}),
    work=_work,
)
def gradient_projection(model: nn.Module, task: Task, settings: GradientProjection) -> nn.Module:
    """Ascend on the forget loss where the retain loss is flat; then the reverse, downwards.

    At each step: d = g - (<g, h> / <h, h>) h, with g the gradient of the driving batch's
    cross-entropy and h of a random batch of the other set, over all weights;
    m <- decay * m + (1 - decay) * d / |d|; theta <- theta + lr * m in forget rounds, - in retain
    rounds. A step with d = 0 is left out. All passes are in train mode and in fp32; weights and
    biases of batch normalisation stay as they are, its statistics move.
    """
    forget, retain = (pool.augmented(settings.augment) for pool in (task.forget, task.retain))
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.requires_grad_(False)
    with seeded_layers(task.generator("layers").initial_seed(), task.device):
        _carry_out(list(_rounds(settings, forget, retain)), model.train(), task, settings)
    return model.requires_grad_(True).eval()


def _carry_out(rounds: Any, model: nn.Module, task: Task, settings: GradientProjection) -> None:
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    sizes, meter = [weight.numel() for weight in weights], task.watch.meter
    driving_draws, protected_draws = task.generator("driving"), task.generator("protected")

    def gradient(batch: Batch) -> torch.Tensor:
        meter.forward(len(batch.y))
        meter.backward(len(batch.y))
        loss = F.cross_entropy(model(batch.x).float(), batch.y)
        parts = torch.autograd.grad(loss, weights, materialize_grads=True)
        return torch.cat([part.flatten() for part in parts])

    def ascend(mean: torch.Tensor, lr: float) -> None:
        with torch.no_grad():
            for weight, part in zip(weights, mean.split(sizes), strict=True):
                weight.add_(part.view_as(weight), alpha=lr)

    left: Any = 0  # the sum of earlier steps' gradients, where they are not zeroed
    for done, (driving, protected, epochs, size, lr) in enumerate(rounds):
        mean: Any = 0
        for batch in (batch for _ in range(epochs) for batch in driving.epoch(size, driving_draws)):
            other = next(protected.epoch(settings.protected_batch_size, protected_draws))
            held = gradient(other) + left
            driven = gradient(batch)
            if settings.accumulated_gradients:
                left = held + driven
            direction = orthogonal(driven, held)
            if (norm := direction.norm()) != 0:
                mean = settings.decay * mean + (1 - settings.decay) * direction / norm
                ascend(mean, lr)
            meter.steps += 1
            task.watch.step(done, len(rounds), None)
