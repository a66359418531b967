"""Robust error-minimising noise: it lowers the loss also of who trains adversarially.

For training samples (x_i, y_i), a network ``theta`` that begins untrained, random augmentations t
and an adversary's change e:

    min_theta min_delta mean_i E_t max_e loss(f_theta(t(x_i + delta_i) + e), y_i)
    subject to  |delta_i| <= eps,  |e| <= adversarial_eps  and images within [0, 255]

After ``train_steps`` optimiser steps of theta, each on an adversarial batch that carries noise made
for it, noise is made for all images, by steps of the sign of the expected gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from harness.components import Facts, Misfit, component, setting
from harness.corruptions.brewing import carry_out
from harness.corruptions.surrogates import (
    SGD,
    UNIT,
    Bounded,
    Network,
    augment_misfits,
    augmented,
    bounded_misfits,
    inside,
    radius,
    untrained,
)
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption, draw
from harness.corruptions.unlearnable import chosen, expected, finish, norms
from harness.data.types import Split
from harness.lazy import torch
from harness.spec.blocks import Train, Use, use
from harness.training.watch import Meter


@frozen
class RobustErrorMinimising(Bounded):
    """Settings of ``robust_error_minimising``."""

    steps: int = setting(10, doc="steps of noise", gt=0)
    step_size: float = setting(1.6 / 255, doc="of a step of noise", unit=UNIT, gt=0, le=1)
    draws: int = setting(5, doc="augmentations that a step's gradient is summed over", gt=0)
    adversarial_eps: float = setting(
        4 / 255, doc="largest change by the adversary; 0: there is none", unit=UNIT, ge=0, le=1
    )
    adversarial_steps: int = setting(10, doc="steps of the adversary", gt=0)
    adversarial_step_size: float = setting(
        0.8 / 255, doc="of a step of the adversary", unit=UNIT, gt=0, le=1
    )
    train_steps: int = setting(5000, doc="optimiser steps of the network", unit="steps", gt=0)
    batch_size: int = setting(128, doc="images at a time", unit="samples", gt=0)
    optimizer: Use = use("optimizers", SGD, doc="of the network")
    schedule: Use = use(
        "schedules",
        {"name": "step", "milestones": [0.4, 0.8], "gamma": 0.1},
        doc="of its rate: a tenth after 2,000 and 4,000 of 5,000 steps",
    )
    augment: tuple[Use, ...] = use(
        "augmentations",
        ({"name": "random_crop", "padding": 4}, "horizontal_flip"),
        doc="what t draws, in order",
        many=True,
    )


def misfits(settings: RobustErrorMinimising, facts: Facts) -> Iterator[Misfit]:
    """A ball, a network or augmentations that the data cannot have (trait ``check``)."""
    yield from bounded_misfits(settings, facts)
    yield from augment_misfits(settings.augment, facts)


def _work(settings: RobustErrorMinimising, sizes: Any) -> tuple[float, float]:
    attack = settings.adversarial_steps if settings.adversarial_eps else 0
    noise = settings.steps * settings.draws * (attack + 1)
    batch = min(settings.batch_size, sizes.corrupted)
    seen = settings.train_steps * batch * (noise + attack + 1) + noise * sizes.corrupted
    return seen, seen


@component(
    "corruptions",
    "robust_error_minimising",
    settings=RobustErrorMinimising,
    source="Fu et al., ICLR 2022, arXiv 2203.14533, section 4 (REM, min-min-max); defaults as in "
    "fshp971/robust-unlearnable-examples",
    leaves=frozenset({"linf", "l2"}),
    amount=expected,
    check=misfits,
    requests=untrained,
    work=_work,
)
def robust_error_minimising(
    train: Split, settings: RobustErrorMinimising, task: CorruptionTask
) -> Corruption:
    """Add noise that lowers the loss of a network under augmentation and a small adversary.

    uint8 images [m, C, H, W] in and out; labels stay. The network is the spec's model, untrained.
    Every search begins at uniform noise; the gradient at the adversary's image is carried back
    through t alone, as published. Both searches are in eval mode. Defaults cost about 7,700 passes
    over 50,000 images. APBench gives another algorithm this name: error-minimising steps after
    error-maximising ones, without t and e. With ``adversarial_eps: 0``, ``draws: 1`` and no
    augmentation it is fshp971's error-minimising noise.

    Leaves ``linf`` and ``l2`` of the stored change, float32 [m], in intensities of [0, 1].

    Raises:
        HarnessError: an augmentation passes no gradient, or a loss is not finite.
    """
    rows = chosen(settings, task)
    clean = train.inputs[rows]
    brew = Robust(clean, train.targets[rows], settings, task)
    carry_out(brew, task)
    return Corruption(rows, inputs=brew.images, tensors=norms(clean, brew.images))


class Robust:
    """Steps of the network, then the noise of one batch after the other (a ``Brew``).

    ``images`` [m, C, H, W] are as stored, those of later batches still clean.
    """

    def __init__(
        self,
        clean: torch.Tensor,
        labels: torch.Tensor,
        settings: RobustErrorMinimising,
        task: CorruptionTask,
    ) -> None:
        self.settings, self.task = settings, task
        self.x, self.y = clean.to(task.device), labels.to(task.device)
        self.images = finish(clean, torch.zeros_like(clean), settings.rounding)
        self.parts = torch.arange(len(labels)).split(settings.batch_size)
        self.done, self.total = 0, settings.train_steps + len(self.parts)
        recipe = Train(
            steps=settings.train_steps, optimizer=settings.optimizer, schedule=settings.schedule
        )
        self.network = Network.new(task, settings, recipe)

    def step(self, meter: Meter) -> float:
        """The noise of one batch, and while the network learns a step of it. Returns a loss."""
        settings, draws = self.settings, self.task.generator(f"step {self.done}")
        learning = self.done < settings.train_steps
        if learning:
            part = draw(torch.arange(len(self.y)), settings.batch_size, draws)
        else:
            part = self.parts[self.done - settings.train_steps]
        clean, y = self.x[part].float(), self.y[part]
        change, loss = self._noise(clean, y, draws, meter)
        if not learning:
            self.images[part] = finish(self.x[part].cpu(), change.cpu(), settings.rounding)
            return loss
        shown = augmented((clean + change).requires_grad_(True), settings.augment, draws).detach()
        shown = shown + self._adversary(shown, y, draws, meter)
        return self.network.learn(shown, y, self.done, meter)

    def _start(self, clean: torch.Tensor, size: float, draws: torch.Generator) -> torch.Tensor:
        uniform = 2 * torch.rand(clean.shape, generator=draws).to(clean.device) - 1
        return inside(size * uniform, clean, size)

    def _noise(
        self, clean: torch.Tensor, y: torch.Tensor, draws: torch.Generator, meter: Meter
    ) -> tuple[torch.Tensor, float]:
        """What lowers the expected adversarial loss of a batch, and that loss at the last step."""
        settings, eps = self.settings, radius(self.settings)
        change = self._start(clean, eps, draws)
        for _ in range(settings.steps):
            total, loss = torch.zeros_like(change), 0.0
            for _ in range(settings.draws):
                own = change.clone().requires_grad_(True)
                shown = augmented(clean + own, settings.augment, draws)
                moved = shown + self._adversary(shown.detach(), y, draws, meter)
                losses, gradient = self.network.slope(moved, y, own, meter)
                total, loss = total + gradient, loss + losses.mean().item() / settings.draws
            change = inside(change - 255 * settings.step_size * total.sign(), clean, eps)
        return change, loss

    def _adversary(
        self, shown: torch.Tensor, y: torch.Tensor, draws: torch.Generator, meter: Meter
    ) -> torch.Tensor:
        """What raises the loss of ``shown`` within the adversary's ball."""
        settings, eps = self.settings, 255 * self.settings.adversarial_eps
        if not eps:
            return torch.zeros_like(shown)
        change = self._start(shown, eps, draws)
        for _ in range(settings.adversarial_steps):
            own = change.requires_grad_(True)
            _, gradient = self.network.slope(shown + own, y, own, meter)
            moved = change.detach() + 255 * settings.adversarial_step_size * gradient.sign()
            change = inside(moved, shown, eps)
        return change

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that goes on from here."""
        return {"images": self.images, **self.network.state()}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on from ``state``."""
        self.images = tensors["images"]
        self.network.restore(tensors)
