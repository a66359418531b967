"""Adversarial poisons: images that a clean network takes for another class.

For training samples (x_i, y_i), a network ``theta`` that was trained on clean data and C classes:

    targeted    minimise over delta_i  loss(f_theta(t(x_i + delta_i)), (y_i + offset) mod C)
    untargeted  maximise over delta_i  loss(f_theta(t(x_i + delta_i)), y_i)

subject to  |delta_i| <= eps  and  0 <= x_i + delta_i <= 255,  t a random augmentation, by steps of
the gradient's sign. Who trains on them with their right labels learns the other class's features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from harness.components import Facts, Misfit, component, setting
from harness.corruptions.brewing import carry_out, surrogate
from harness.corruptions.surrogates import (
    UNIT,
    Bounded,
    Network,
    augment_misfits,
    augmented,
    bounded_misfits,
    inside,
    radius,
)
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption
from harness.corruptions.unlearnable import chosen, expected, finish, norms
from harness.data.types import Split
from harness.lazy import torch
from harness.spec.blocks import Use, use
from harness.spec.requests import Trained
from harness.training.watch import Meter


@frozen
class TargetedAdversarial(Bounded):
    """Settings of ``targeted_adversarial``; defaults are the authors' code's."""

    targeted: bool = setting(
        True,
        doc="towards another class; otherwise away from the own one, as APBench's copy does by "
        "default and the authors found less reliable",
    )
    offset: int = setting(
        1,
        doc="from a label to the class that is aimed at; SEP: 5; 0 lowers the loss of the own "
        "class, which is hypocritical noise (HYPO)",
        unit="classes",
        ge=0,
    )
    steps: int = setting(250, doc="steps after each start", unit="steps", gt=0)
    step_size: float = setting(
        0.4 / 255, doc="of a step; fshp971: 0.064/255", unit=UNIT, gt=0, le=1
    )
    restarts: int = setting(8, doc="starts, of which each image keeps the best; fshp971: 1", gt=0)
    batch_size: int = setting(512, doc="images that are moved at a time", unit="samples", gt=0)
    augment: tuple[Use, ...] = use(
        "augmentations",
        ({"name": "random_crop", "padding": 4}, "horizontal_flip"),
        doc="what images go through before the network, in order, drawn anew for each step",
        many=True,
    )


def misfits(settings: TargetedAdversarial, facts: Facts) -> Iterator[Misfit]:
    """An offset or augmentations that the data cannot have (trait ``check``)."""
    yield from bounded_misfits(settings, facts)
    yield from augment_misfits(settings.augment, facts)
    if settings.offset >= facts.classes:
        yield Misfit("offset", f"found {settings.offset}; there are {facts.classes} classes")


def _requests(settings: TargetedAdversarial) -> tuple[Trained, ...]:
    return (Trained("surrogate", data="clean", model=settings.model),)


def _work(settings: TargetedAdversarial, sizes: Any) -> tuple[float, float]:
    seen = settings.restarts * settings.steps * sizes.corrupted
    return seen, seen


@component(
    "corruptions",
    "targeted_adversarial",
    settings=TargetedAdversarial,
    source="Fowl et al., NeurIPS 2021, arXiv 2106.10807, section 3 (TAP); defaults as in "
    "lhfowl/adversarial_poisons",
    leaves=frozenset({"linf", "l2", "losses"}),
    amount=expected,
    check=misfits,
    requests=_requests,
    work=_work,
)
def targeted_adversarial(
    train: Split, settings: TargetedAdversarial, task: CorruptionTask
) -> Corruption:
    """Move every image until a network that knows the clean data takes it for another class.

    uint8 images [m, C, H, W] in and out; labels stay. The network is the spec's model, trained by
    its recipe on the clean data (published: 40 epochs), in eval mode. An image begins at normal
    noise of the ball's radius, put into it; of several starts it keeps the one with the lowest
    loss at the last step (published code: one start for all images, by their mean loss).

    Leaves ``linf`` and ``l2`` of the stored change, float32 [m], in intensities of [0, 1], and
    ``losses`` float32 [m]: what the kept start had reached before its last step; untargeted, the
    negative of the loss.

    Raises:
        HarnessError: an augmentation passes no gradient, or a loss is not finite.
    """
    rows = chosen(settings, task)
    clean = train.inputs[rows]
    brew = Moving(clean, train.targets[rows], settings, task)
    carry_out(brew, task)
    left = {**norms(clean, brew.images), "losses": brew.losses}
    return Corruption(rows, inputs=brew.images, tensors=left)


class Moving:
    """Batch after batch, restart after restart, in steps of one batch (a ``Brew``).

    ``images`` [m, C, H, W] are as stored, those of later batches still clean.
    """

    def __init__(
        self,
        clean: torch.Tensor,
        labels: torch.Tensor,
        settings: TargetedAdversarial,
        task: CorruptionTask,
    ) -> None:
        self.settings, self.task, self.clean = settings, task, clean.to(task.device)
        aimed, self.sign = labels.to(task.device), -1
        if settings.targeted:
            aimed, self.sign = (aimed + settings.offset) % len(task.dataset.classes), 1
        self.aimed, self.eps, self.size = aimed, radius(settings), 255 * settings.step_size
        self.network = Network(surrogate(task), task, settings)
        self.parts = torch.arange(len(labels)).split(settings.batch_size)
        self.done, self.total = 0, len(self.parts) * settings.restarts * settings.steps
        self.images = finish(clean, torch.zeros_like(clean), settings.rounding)
        self.losses = torch.full((len(labels),), torch.inf)
        self.change = torch.zeros(0)

    def step(self, meter: Meter) -> float:
        """One step of one batch. Returns its mean loss before it."""
        rest, step = divmod(self.done, self.settings.steps)
        number, restart = divmod(rest, self.settings.restarts)
        part = self.parts[number]
        clean = self.clean[part].float()
        if step == 0:
            draws = self.task.generator(f"start {number} {restart}")
            noise = torch.randn(clean.shape, generator=draws).to(clean.device)
            self.change = inside(self.eps * noise, clean, self.eps)
        change = self.change.requires_grad_(True)
        draws = self.task.generator(f"augment {self.done}")
        shown = augmented(clean + change, self.settings.augment, draws)
        losses, gradient = self.network.slope(shown, self.aimed[part], change, meter)
        moved = change.detach() - self.sign * self.size * gradient.sign()
        self.change = inside(moved, clean, self.eps)
        meter.steps += 1
        if step == self.settings.steps - 1:
            self._keep(part, self.sign * losses.cpu())
        return losses.mean().item()

    def _keep(self, part: torch.Tensor, losses: torch.Tensor) -> None:
        """Store the images of ``part`` that this start brought further than those before."""
        better = part[losses < self.losses[part]]
        change = self.change[(better - part[0]).to(self.change.device)].cpu()
        if len(better):
            self.images[better] = finish(self.clean[better].cpu(), change, self.settings.rounding)
        self.losses[part] = torch.minimum(losses, self.losses[part])

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that goes on from here."""
        return {"images": self.images, "losses": self.losses, "change": self.change}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on from ``state``."""
        self.images, self.losses = tensors["images"], tensors["losses"]
        self.change = tensors["change"].to(self.task.device)
