"""Error-minimising noise: images that a network has nothing left to learn from.

For training samples (x_i, y_i), noise ``delta`` of each image or of each class, and a network
``theta`` that begins untrained:

    min_theta min_delta mean_i loss(f_theta(x_i + delta_i), y_i)  subject to  |delta_i| <= eps

in rounds of (a) ``train_steps`` optimiser steps of theta on consecutive batches of x + delta, in
train mode; (b) for every image, ``steps`` steps  delta <- P(delta - a sign grad loss), in eval
mode, where P goes back into the ball and x + delta into [0, 255]; (c) the accuracy on x + delta,
which ends the search once it is high enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import frozen

from harness.components import component, setting
from harness.corruptions.brewing import carry_out
from harness.corruptions.surrogates import (
    SGD,
    UNIT,
    Bounded,
    Network,
    bounded_misfits,
    inside,
    radius,
    untrained,
)
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption
from harness.corruptions.unlearnable import chosen, expected, finish, norms
from harness.data.types import Split
from harness.lazy import F, torch
from harness.spec.blocks import Train, Use, use
from harness.training.watch import Meter


@frozen
class ErrorMinimising(Bounded):
    """Settings of ``error_minimising``."""

    noise_of: Literal["sample", "class"] = setting(
        "sample", doc="whether every image has noise of its own, or those of a class share one"
    )
    steps: int | None = setting(
        None,
        doc="steps of noise in a round; left out 20, or 1 of noise that a class shares, as "
        "published; APBench: 5",
        gt=0,
    )
    step_size: float = setting(
        0.8 / 255, doc="of a step of noise; APBench: 1.6/255", unit=UNIT, gt=0, le=1
    )
    train_steps: int = setting(10, doc="optimiser steps in a round", unit="steps", gt=0)
    stop: float = setting(
        0.99, doc="accuracy on the changed images that ends the search", gt=0, le=1
    )
    rounds: int = setting(50, doc="rounds after which it ends anyway; published code: none", gt=0)
    batch_size: int = setting(512, doc="APBench: 128", unit="samples", gt=0)
    optimizer: Use = use("optimizers", SGD, doc="of the network")
    clip_norm: float | None = setting(5.0, doc="bound on its gradient's L2 norm", gt=0)


def _steps(settings: ErrorMinimising) -> int:
    return settings.steps or (20 if settings.noise_of == "sample" else 1)


def _work(settings: ErrorMinimising, sizes: Any) -> tuple[float, float]:
    """Of all rounds: how many it takes shows only in the search."""
    batch = min(settings.batch_size, sizes.corrupted)
    each = settings.train_steps * batch + _steps(settings) * sizes.corrupted
    return settings.rounds * (each + sizes.corrupted), settings.rounds * each


@component(
    "corruptions",
    "error_minimising",
    settings=ErrorMinimising,
    source="Huang et al., ICLR 2021, arXiv 2101.04898, section 3 (EM, min-min); defaults as in "
    "HanxunH/Unlearnable-Examples",
    leaves=frozenset({"linf", "l2", "accuracies"}),
    amount=expected,
    check=bounded_misfits,
    requests=untrained,
    work=_work,
)
def error_minimising(train: Split, settings: ErrorMinimising, task: CorruptionTask) -> Corruption:
    """Add noise that lowers the loss of a network that learns beside it, as far as it can.

    uint8 images [m, C, H, W] in and out; labels stay. The network is the spec's model, untrained,
    and sees no augmentation. Noise stays with its image whatever the order of batches, which are
    those of the rows, unshuffled. Noise of an image also stays in the range of images after every
    step; published code only clips the image, which moves it by less than a step while the network
    learns. Noise that a class shares becomes, batch by batch, the mean of what its images ask for;
    published code searches it on a fifth of the data.

    fshp971's variant (5,000 optimiser steps with a search from a random start before each) is
    ``robust_error_minimising`` with ``adversarial_eps: 0``, ``draws: 1`` and no augmentation.

    Leaves ``linf`` and ``l2`` of the stored change, float32 [m], in intensities of [0, 1], and
    ``accuracies`` float32 [rounds]: of the network on the changed images, after each round taken.

    Raises:
        HarnessError: a loss is not finite.
    """
    rows = chosen(settings, task)
    clean = train.inputs[rows]
    brew = Minimising(clean, train.targets[rows], settings, task)
    carry_out(brew, task)
    stored = finish(clean, brew.changes(), settings.rounding)
    left = {**norms(clean, stored), "accuracies": brew.accuracies}
    return Corruption(rows, inputs=stored, tensors=left)


class Minimising:
    """The rounds, in steps of one batch (a ``Brew``).

    ``noise`` [m, C, H, W] is that of images or of classes; ``own`` says which of it an image has.
    """

    def __init__(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        settings: ErrorMinimising,
        task: CorruptionTask,
    ) -> None:
        self.settings, self.x, self.y = settings, images.to(task.device), labels.to(task.device)
        rows, self.shared = torch.arange(len(labels)), settings.noise_of == "class"
        self.own = self.y if self.shared else rows.to(task.device)
        count = len(task.dataset.classes) if self.shared else len(labels)
        self.noise = torch.zeros(count, *images.shape[1:], device=task.device)
        self.parts = rows.to(task.device).split(settings.batch_size)
        self.units = settings.train_steps + 2 * len(self.parts)
        self.done, self.total = 0, settings.rounds * self.units
        recipe = Train(
            steps=settings.rounds * settings.train_steps,
            optimizer=settings.optimizer,
            clip_norm=settings.clip_norm,
        )
        self.network = Network.new(task, settings, recipe)
        self.right, self.accuracies = 0, torch.zeros(0)
        self.eps, self.size = radius(settings), 255 * settings.step_size

    def changes(self) -> torch.Tensor:
        """Of every image, float32 [m, C, H, W] in intensities of 255, before it is clipped."""
        return (self.noise[self.own] if self.shared else self.noise).cpu()

    def _shown(self, part: torch.Tensor) -> torch.Tensor:
        return (self.x[part] + self.noise[self.own[part]]).clamp(0, 255)

    def step(self, meter: Meter) -> float:
        """One batch to train on, to search on, or to measure on. Returns its mean loss."""
        number, unit = divmod(self.done, self.units)
        if unit < self.settings.train_steps:
            taken = number * self.settings.train_steps + unit
            part = self.parts[taken % len(self.parts)]
            return self.network.learn(self._shown(part), self.y[part], taken, meter)
        self.network.model.eval()
        searched, place = divmod(unit - self.settings.train_steps, len(self.parts))
        act = self._measure if searched else self._search
        loss = act(self.parts[place], meter)
        if searched and place == len(self.parts) - 1:
            accuracy = self.right / len(self.y)
            self.right, self.accuracies = 0, torch.cat([self.accuracies, torch.tensor([accuracy])])
            if accuracy >= self.settings.stop:
                self.done = self.total - 1
        return loss

    def _search(self, part: torch.Tensor, meter: Meter) -> float:
        clean, y, own = self.x[part].float(), self.y[part], self.own[part]
        change = inside(self.noise[own], clean, self.eps)
        for _ in range(_steps(self.settings)):
            images = (clean + change).requires_grad_(True)
            losses, gradient = self.network.slope(images, y, images, meter)
            change = inside(change - self.size * gradient.sign(), clean, self.eps)
        if self.shared:
            for label in own.unique():
                self.noise[label] = change[own == label].mean(0)
        else:
            self.noise[own] = change
        return losses.mean().item()

    def _measure(self, part: torch.Tensor, meter: Meter) -> float:
        with torch.no_grad():
            logits, y = self.network.logits(self._shown(part)), self.y[part]
        meter.forward(len(y))
        self.right += int((logits.argmax(1) == y).sum())
        return F.cross_entropy(logits, y).item()

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that goes on from here."""
        own = {
            "noise": self.noise,
            "accuracies": self.accuracies,
            "right": torch.tensor(self.right),
        }
        return {**own, **self.network.state()}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on from ``state``."""
        self.noise.copy_(tensors["noise"])
        self.right, self.accuracies = int(tensors["right"]), tensors["accuracies"]
        self.network.restore(tensors)
