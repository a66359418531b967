"""What corruptions share that move images against a network, within a ball of L-infinity.

Images and changes are in intensities of [0, 255] here, as encodings take them; settings are in
those of [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from attrs import frozen

from harness.components import Facts, Misfit, get, setting
from harness.corruptions.task import CorruptionTask
from harness.corruptions.unlearnable import Rounding, Unlearnable, how_stored
from harness.data.augmentations._batches import batch_misfits
from harness.errors import HarnessError
from harness.lazy import F, nn, torch
from harness.spec.blocks import Train, Use, use
from harness.spec.requests import Trained
from harness.training.optimizer_state import below, optimizer_tensors, restore_optimizer
from harness.training.parameters import clip_gradients, optimizer_of
from harness.training.precision import arithmetic
from harness.training.seeding import seeded_layers
from harness.training.watch import Meter

UNIT = "intensities of [0, 1]"
SGD = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}


@frozen
class Ball(Unlearnable):
    """Settings of every such corruption."""

    eps: float = setting(8 / 255, doc="largest change of an intensity", unit=UNIT, gt=0, le=1)
    rounding: Rounding = how_stored()


@frozen
class Bounded(Ball):
    """Settings of those with a network of finite width."""

    model: Use | None = use(
        "models", None, doc="the network that images are moved against; the spec's when left out"
    )
    precision: Literal["fp32", "bf16"] = setting("fp32", doc="arithmetic of its passes")
    memory_format: Literal["contiguous", "channels_last"] = setting(
        "contiguous",
        doc="how its weights lie in the memory of a CPU; a GPU always has them channels_last",
    )


def radius(settings: Ball) -> float:
    """``eps`` in intensities of 255: whole ones where images are stored in 8 bits."""
    eps = 255 * settings.eps
    return eps if settings.rounding == "none" else math.floor(eps + 1e-3)


def ball_misfits(settings: Ball, facts: Facts) -> Iterator[Misfit]:
    """A ball without a whole intensity (trait ``check``)."""
    if not radius(settings):
        what = f"found {settings.eps:g}; 8 bits hold no change below 1/255: try rounding none"
        yield Misfit("eps", what)


def bounded_misfits(settings: Bounded, facts: Facts) -> Iterator[Misfit]:
    """As of every ball, and a network that the data do not fit (trait ``check``)."""
    yield from ball_misfits(settings, facts)
    if settings.model is not None:
        traits = get("models", settings.model.name).traits
        if traits.gives is not None or facts.encoding.name not in traits.takes:
            yield Misfit("model", f"{settings.model.name!r} gives no logits of these data")
        else:
            yield from (
                Misfit("model", f.what) for f in traits.check(settings.model.settings, facts)
            )


def augment_misfits(augment: Sequence[Use], facts: Facts) -> Iterator[Misfit]:
    """Augmentations that the data do not fit, or that are none of batches."""
    for what in batch_misfits(augment, facts):
        yield Misfit("augment", what)


def augmented(images: torch.Tensor, augment: Sequence[Use], draws: torch.Generator) -> torch.Tensor:
    """``images``, which need a gradient, after each of ``augment``. Raises HarnessError."""
    for one in augment:
        function = get("augmentations", one.name).function
        images = function(images, settings=one.settings, generator=draws)
        if not images.requires_grad:
            raise HarnessError(f"the augmentation {one.name!r} passes no gradient")
    return images


def inside(change: torch.Tensor, clean: torch.Tensor, radius: float) -> torch.Tensor:
    """``change`` put back into the ball, and ``clean + change`` into [0, 255]."""
    low, high = (-clean).clamp(min=-radius), (255 - clean).clamp(max=radius)
    return torch.clamp(change, low, high)


def untrained(settings: Bounded) -> tuple[Trained, ...]:
    """Asks for a network as it is before its first step (trait ``requests``)."""
    return (Trained("start", model=settings.model, train=Train(steps=1), snapshots=(0,)),)


class Network:
    """A network that gives the gradients of images, and can learn on the way.

    ``recipe`` has the optimiser, its schedule over ``recipe.steps`` and the bound of gradients.
    """

    def __init__(
        self, model: nn.Module, task: CorruptionTask, settings: Bounded, recipe: Train | None = None
    ) -> None:
        if settings.memory_format == "channels_last":
            model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model, self.task, self.recipe = model, task, recipe
        self.autocast = arithmetic(task.device.type, settings.precision)
        if recipe is not None:
            self.optimizer = optimizer_of(model, recipe)

    @classmethod
    def new(cls, task: CorruptionTask, settings: Bounded, recipe: Train) -> Network:
        """What ``untrained`` asked for."""
        assert task.answers is not None  # noqa: S101
        model: nn.Module = task.answers.model("start")
        model.load_state_dict(dict(task.answers.snapshots("start")[0]))
        return cls(model, task, settings, recipe)

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Of intensities in [0, 255]: float32 [B, classes]."""
        with self.autocast:
            found: torch.Tensor = self.model(self.task.dataset.encoding.batch(images))
        return found.float()

    def slope(
        self, images: torch.Tensor, y: torch.Tensor, wrt: torch.Tensor, meter: Meter
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Losses [B] in eval mode, and the gradient of their sum with respect to ``wrt``."""
        losses = F.cross_entropy(self.logits(images), y, reduction="none")
        [gradient] = torch.autograd.grad(losses.sum(), wrt)
        meter.forward(len(y))
        meter.backward(len(y))
        return losses.detach(), gradient

    def learn(self, images: torch.Tensor, y: torch.Tensor, step: int, meter: Meter) -> float:
        """Take the optimiser's step of this number, in train mode. Returns the loss before it."""
        assert self.recipe is not None  # noqa: S101
        schedule, peak = self.recipe.schedule, self.recipe.optimizer.settings.lr
        factor = get("schedules", schedule.name).function
        for group in self.optimizer.param_groups:
            group["lr"] = peak * factor(schedule.settings, step, self.recipe.steps, 1)
        seed = self.task.generator(f"layers {step}").initial_seed()
        self.model.train()
        with seeded_layers(seed, self.task.device):
            loss = F.cross_entropy(self.logits(images), y)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.recipe.clip_norm is not None:
            clip_gradients(self.model, self.recipe.clip_norm)
        self.optimizer.step()
        self.model.eval()
        meter.step(len(y))
        return loss.item()

    def state(self) -> dict[str, torch.Tensor]:
        """Weights and optimiser."""
        state = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        return state | {f"optimizer.{k}": v for k, v in optimizer_tensors(self.optimizer).items()}

    def restore(self, tensors: Mapping[str, Any]) -> None:
        """Go on from ``state``, among other tensors."""
        self.model.load_state_dict(below("model.", tensors))
        restore_optimizer(self.optimizer, below("optimizer.", tensors))
