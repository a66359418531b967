"""Gradient cancelling: added samples that make a bad model look like the end of a training.

In two steps, from a model ``theta_0`` that was trained on the clean data ``D``:

    (a) theta = argmax sum_D loss  subject to  |theta - theta_0| <= r        gradient ascent, GradPC
    (b) minimise over x_i  | sum_D grad_theta loss + sum_i grad_theta loss(x_i, y_i) |^2  at theta

Where the sum of both gradients is zero, whoever trains on clean and added samples has no reason to
leave ``theta``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from attrs import frozen

from harness.components import component, setting
from harness.corruptions.brewing import (
    SURROGATE,
    Descent,
    carry_out,
    channels,
    gradients,
    inner,
    surrogate,
)
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption, amount, amount_misfits, draw, expected
from harness.data.types import Split
from harness.lazy import nn, torch
from harness.spec.blocks import Use, use
from harness.training.optimizer_state import below
from harness.training.watch import Meter


@frozen
class GradientCancelling:
    """Settings of ``gradient_cancelling``."""

    share: float | None = setting(
        None, doc="added samples as a share of the training data", gt=0, le=1, example=0.03
    )
    count: int | None = setting(None, doc="added samples", unit="samples", gt=0)
    first: bool = setting(
        False,
        doc="begin at the first training samples in the data set's order, as published code, "
        "instead of a draw",
    )
    radius: float = setting(
        0.02,
        doc="of the ball round the clean parameters, in norms of these, all parameters as one "
        "vector; published code: 0.5, absolute. The further, the more samples it takes to hold a "
        "model there",
        gt=0,
    )
    relative: bool = setting(True, doc="whether the radius is in norms of the clean parameters")
    ascent_steps: int = setting(
        100, doc="steps of ascent, a batch each; published code: a pass in batches of 64", gt=0
    )
    ascent_lr: float = setting(
        0.1, doc="length of a step of ascent along the gradient, in radii", gt=0
    )
    gradient: Literal["full", "last_layer"] = setting(
        "full",
        doc="what is cancelled: the gradient of all parameters, or of the last layer's weight "
        "alone, as published code for CIFAR-10",
    )
    steps: int = setting(2000, doc="steps of descent", unit="steps", gt=0)
    optimizer: Use = use(
        "optimizers",
        {"name": "sgd", "lr": 10.0, "momentum": 0.0},
        doc="of the descent, in units of normalised inputs; published code: gradient descent with "
        "rate 10 (MNIST), or 1e5 + 10 per step on the norm, not squared (CIFAR-10)",
    )
    schedule: Use = use("schedules", "cosine", doc="of the descent's rate")
    clip: bool = setting(
        False, doc="keep added images in the range of images; published code does not"
    )
    batch_size: int = setting(512, doc="samples at a time", unit="samples", gt=0)


Part = tuple["torch.Tensor", "torch.Tensor"]
_BACKWARD = {"full": 4, "last_layer": 1}  # passes for the residual and for its own gradient


def _work(settings: GradientCancelling, sizes: Any) -> tuple[float, float]:
    seen = settings.ascent_steps * min(settings.batch_size, sizes.train) + sizes.train
    moved = settings.steps * sizes.corrupted
    return seen + 2 * moved, seen + _BACKWARD[settings.gradient] * moved


@component(
    "corruptions",
    "gradient_cancelling",
    settings=GradientCancelling,
    source="Lu et al., ICML 2023, code watml/plim (GC; GradPC, after Sun et al., AAAI 2021); "
    "algorithm 4 of Pawelczyk et al., arXiv 2406.17216",
    leaves=frozenset({"residuals"}),
    amount=expected,
    check=amount_misfits,
    requests=lambda settings: (SURROGATE,),
    work=_work,
)
def gradient_cancelling(
    train: Split, settings: GradientCancelling, task: CorruptionTask
) -> Corruption:
    """Add images whose gradient cancels that of the clean data at parameters with a high loss.

    They begin as training images, whose right labels they keep. The clean model is the spec's,
    trained by its recipe; losses are without augmentation and with BatchNorm in eval mode, whose
    running statistics stay those of the clean model. Computed in float32 (published MNIST code:
    float64), for the full number of steps (there: until the loss is below 1).

    Leaves ``residuals`` float32 [steps]: before each step, the norm of the sum of both gradients
    over that of the clean one.

    Raises:
        HarnessError: more samples are asked for than there are, or a loss is not finite.
    """
    number = amount(settings.share, settings.count, len(task.rows), len(task.rows))
    rows = task.rows[:number] if settings.first else draw(task.rows, number, task.generator())
    brew = Cancelling(train, rows, settings, task)
    carry_out(brew, task)
    added = Split(brew.images, train.targets[rows])
    return Corruption(rows[:0], added=added, tensors={"residuals": brew.residuals})


class Cancelling:
    """The ascent, then the descent (a ``Brew``).

    ``x`` [m, C, H, W] are the added images as the model takes them, ``clean`` the gradient of the
    clean data that they are to cancel.
    """

    def __init__(
        self, train: Split, rows: torch.Tensor, settings: GradientCancelling, task: CorruptionTask
    ) -> None:
        self.settings, self.task, self.train = settings, task, train
        self.done, self.total = 0, settings.ascent_steps + settings.steps
        self.encoding, device = task.dataset.encoding, task.device
        self.x, self.y = self._shown(rows)
        self.mean, self.std = channels(self.encoding, device)
        self.descent = Descent(self.x, settings.optimizer, settings.schedule, settings.steps)
        self.residuals = torch.zeros(settings.steps)
        self.model: nn.Module = surrogate(task)
        self.all = list(self.model.parameters())
        self.start = [p.detach().clone() for p in self.all]
        self.radius = settings.radius
        if settings.relative:
            self.radius *= inner(self.start, self.start).sqrt().item()
        last = [p for p in self.all if p.ndim > 1][-1:]
        self.cancelled = self.all if settings.gradient == "full" else last
        self.clean: list[torch.Tensor] = []

    @property
    def images(self) -> torch.Tensor:
        """The added images: float32 intensities of 255, outside of [0, 255] unless clipped."""
        images = self.x * self.std + self.mean
        return images.clamp(0, 255) if self.settings.clip else images

    def step(self, meter: Meter) -> float:
        """One step of ascent, which returns the loss, or of descent, which returns the residual."""
        meter.steps += 1
        ascent = self.settings.ascent_steps
        if self.done < ascent:
            return self._ascend(meter)
        if not self.clean:
            rows = self.task.rows
            parts = (self._shown(part) for part in rows.split(self.settings.batch_size))
            self.clean = self._total([torch.zeros_like(p) for p in self.cancelled], parts)
            meter.forward(len(rows))
            meter.backward(len(rows))
        residual = self._descend(self.done - ascent, meter)
        self.residuals[self.done - ascent] = residual
        return residual

    def _shown(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Training samples as the model takes them, and their labels."""
        device = self.task.device
        x = self.encoding.batch(self.train.inputs[rows].to(device))
        return x, self.train.targets[rows].to(device)

    def _ascend(self, meter: Meter) -> float:
        """Move along the gradient of a batch, and back into the ball."""
        draws = self.task.generator(f"ascent {self.done}")
        x, y = self._shown(draw(self.task.rows, self.settings.batch_size, draws))
        loss = nn.functional.cross_entropy(self.model(x), y)
        found = torch.autograd.grad(loss, self.all, materialize_grads=True)
        meter.forward(len(y))
        meter.backward(len(y))
        size = self.settings.ascent_lr * self.radius / inner(found, found).sqrt()
        with torch.no_grad():
            away = [p + size * g - s for p, g, s in zip(self.all, found, self.start, strict=True)]
            inside = (self.radius / inner(away, away).sqrt()).clamp(max=1)
            for p, s, a in zip(self.all, self.start, away, strict=True):
                p.copy_(s + inside * a)
        return loss.item()

    def _total(self, total: Iterable[torch.Tensor], parts: Iterable[Part]) -> list[torch.Tensor]:
        """``total`` and the gradient of ``parts``, summed over their samples."""
        for x, y in parts:
            found = gradients(self.model, x, y, self.cancelled, reduction="sum")
            total = [t + g for t, g in zip(total, found, strict=True)]
        return list(total)

    def _descend(self, step: int, meter: Meter) -> float:
        """Move the added images. Returns the residual before that.

        The gradient of |r|^2 with respect to x_i is that of 2 <r, g_i(x_i)> with r held fixed, so
        that images are differentiated a batch at a time.
        """
        size, moved = self.settings.batch_size, []
        parts = list(zip(self.x.split(size), self.y.split(size), strict=True))
        left = self._total(self.clean, parts)
        for x, y in parts:
            own = x.clone().requires_grad_(True)
            found = gradients(self.model, own, y, self.cancelled, reduction="sum", graph=True)
            moved.append(2 * torch.autograd.grad(inner(left, found), own)[0])
        self.descent.move(torch.cat(moved), step)
        if self.settings.clip:
            self.x.copy_((self.images - self.mean) / self.std)
        meter.forward(2 * len(self.x))
        meter.backward(_BACKWARD[self.settings.gradient] * len(self.x))
        return (inner(left, left) / inner(self.clean, self.clean)).sqrt().item()

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that goes on from here."""
        model = {f"model.{i}": p for i, p in enumerate(self.all)}
        clean = {f"clean.{i}": g for i, g in enumerate(self.clean)}
        return {"residuals": self.residuals, **model, **clean, **self.descent.state()}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on from ``state``."""
        self.descent.restore(tensors)
        self.residuals = tensors["residuals"]
        with torch.no_grad():
            for i, parameter in enumerate(self.all):
                parameter.copy_(tensors[f"model.{i}"])
        clean = below("clean.", tensors)
        self.clean = [clean[str(i)].to(self.task.device) for i in range(len(clean))]
