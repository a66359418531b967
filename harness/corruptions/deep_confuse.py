"""DeepConfuse: a generator of noise that learns what misleads whoever trains on it.

For noise  eps U_phi(x)  with U in [-1, 1], and a victim ``theta`` that begins untrained in every
outer epoch and trains on noise of the last outer epoch's U, at each of its batches:

    theta' = theta - lr grad_theta mean loss(f_theta(x + eps U_phi(x)), y)
    maximise over phi  mean loss(f_theta'(x), y)

by a step of Adam, which differentiates through the victim's step.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from harness.components import component, setting
from harness.corruptions.brewing import carry_out
from harness.corruptions.surrogates import (
    UNIT,
    Bounded,
    Network,
    bounded_misfits,
    radius,
    untrained,
)
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption
from harness.corruptions.unlearnable import chosen, expected, finish, norms
from harness.data.types import Split
from harness.lazy import F, nn, torch
from harness.spec.blocks import Train, Use, use
from harness.spec.structure import structure_use
from harness.training.optimizer_state import below
from harness.training.seeding import seeded_build, seeded_layers
from harness.training.watch import Meter


@frozen
class DeepConfuse(Bounded):
    """Settings of ``deep_confuse``; defaults are the published code's for CIFAR-10."""

    eps: float = setting(
        0.032, doc="largest change of an intensity; published for MNIST: 0.3", unit=UNIT, gt=0, le=1
    )
    outer_epochs: int = setting(1000, doc="victims, one after the other", unit="epochs", gt=0)
    inner_epochs: int = setting(
        20, doc="passes that each trains; published for MNIST: 1", unit="epochs", gt=0
    )
    batch_size: int = setting(256, doc="published for MNIST: 64", unit="samples", gt=0)
    lr: float = setting(0.01, doc="rate of the victim's gradient descent", gt=0)
    optimizer: Use = use("optimizers", {"name": "adam", "lr": 1e-4}, doc="of the generator")
    width: int = setting(
        32, doc="channels of the generator, a U-Net, at full size", unit="channels", gt=0
    )


def _work(settings: DeepConfuse, sizes: Any) -> tuple[float, float]:
    seen = settings.outer_epochs * settings.inner_epochs * sizes.corrupted
    return 3 * seen, 5 * seen


@component(
    "corruptions",
    "deep_confuse",
    settings=DeepConfuse,
    source="Feng et al., NeurIPS 2019, arXiv 1905.09027, section 3 (DC); defaults as in "
    "kingfengji/DeepConfuse",
    leaves=frozenset({"linf", "l2"}),
    amount=expected,
    check=bounded_misfits,
    requests=untrained,
    work=_work,
)
def deep_confuse(train: Split, settings: DeepConfuse, task: CorruptionTask) -> Corruption:
    """Add noise that a generator makes of each image; it learns to raise victims' clean loss.

    uint8 images [m, C, H, W] in and out; labels stay, and the generator does not see them. The
    victim is the spec's model (published: VGG-11), whose layers are initialised anew for every
    outer epoch. The last generator is kept; published code keeps the one with the lowest accuracy
    on the test set, which a poisoner that is to be measured there may not look at. Defaults cost
    20,000 passes that differentiate twice; those through the generator itself are not metered.

    Leaves ``linf`` and ``l2`` of the stored change, float32 [m], in intensities of [0, 1].

    Raises:
        HarnessError: a loss is not finite.
    """
    rows = chosen(settings, task)
    clean = train.inputs[rows]
    brew = Confusing(clean, train.targets[rows], settings, task)
    carry_out(brew, task)
    stored = finish(clean, brew.changes(), settings.rounding)
    return Corruption(rows, inputs=stored, tensors=norms(clean, stored))


class Confusing:
    """The outer epochs, in steps of one batch (a ``Brew``).

    ``maker`` holds the generator that learns, ``used`` the one whose noise the victim trains on.
    """

    def __init__(
        self, clean: torch.Tensor, labels: torch.Tensor, settings: DeepConfuse, task: CorruptionTask
    ) -> None:
        from harness.models._unet import UNet

        self.settings, self.task, self.encoding = settings, task, task.dataset.encoding
        self.x, self.y = clean.to(task.device), labels.to(task.device)
        self.eps = radius(settings)
        made: nn.Module = seeded_build(lambda: UNet(clean.shape[1], settings.width), task.seed)
        learning = Train(steps=1, optimizer=settings.optimizer)
        self.maker = Network(made.to(task.device), task, settings, learning)
        self.used = copy.deepcopy(self.maker.model)
        descent = structure_use("optimizers", {"name": "sgd", "lr": settings.lr, "momentum": 0.0})
        self.victim = Network.new(task, settings, Train(steps=1, optimizer=descent))
        self.batches = -(-len(labels) // settings.batch_size)
        self.done = 0
        self.total = settings.outer_epochs * settings.inner_epochs * self.batches

    def changes(self) -> torch.Tensor:
        """The noise of all images, float32 [m, C, H, W] in intensities of 255."""
        with torch.no_grad():
            parts = self.x.split(self.settings.batch_size)
            return torch.cat([self._change(self.maker.model, part.float()).cpu() for part in parts])

    def _change(self, generator: nn.Module, clean: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.eps * generator(self.encoding.batch(clean))
        return found

    def step(self, meter: Meter) -> float:
        """One batch: a step of the generator, then one of the victim. Returns the clean loss after
        a victim's step on what the generator made."""
        number, place = divmod(self.done, self.batches)
        if place == 0 and number % self.settings.inner_epochs == 0:
            self._begin(number // self.settings.inner_epochs)
        order = torch.randperm(len(self.y), generator=self.task.generator(f"pass {number}"))
        part = order.split(self.settings.batch_size)[place].to(self.y.device)
        clean, y = self.x[part].float(), self.y[part]
        seed = self.task.generator(f"ahead {self.done}").initial_seed()
        with seeded_layers(seed, self.task.device):
            loss = self.ahead(clean, y)
        self.maker.optimizer.zero_grad(set_to_none=True)
        (-loss).backward(inputs=list(self.maker.model.parameters()))
        self.maker.optimizer.step()
        meter.forward(2 * len(y))
        meter.backward(4 * len(y))  # a gradient that is differentiated again costs three
        with torch.no_grad():
            shown = (clean + self._change(self.used, clean)).clamp(0, 255)
        self.victim.learn(shown, y, self.done, meter)
        return loss.item()

    def _begin(self, outer: int) -> None:
        """A victim that knows nothing, and noise of what the generator has learnt so far."""
        self.used.load_state_dict(self.maker.model.state_dict())
        seed = self.task.generator(f"victim {outer}").initial_seed()
        with seeded_layers(seed, self.task.device):
            for layer in self.victim.model.modules():
                if callable(reset := getattr(layer, "reset_parameters", None)):
                    reset()

    def ahead(self, clean: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The clean loss of the victim one step ahead, with its graph back to the generator."""
        model = self.victim.model.train()
        weights = dict(model.named_parameters())
        others = {name: value.clone() for name, value in model.named_buffers()}

        def loss(weights: Mapping[str, torch.Tensor], images: torch.Tensor) -> torch.Tensor:
            x = self.encoding.batch(images)
            with self.victim.autocast:
                logits = torch.func.functional_call(model, {**weights, **others}, (x,))
            return F.cross_entropy(logits.float(), y)

        shown = (clean + self._change(self.maker.model, clean)).clamp(0, 255)
        found = torch.autograd.grad(loss(weights, shown), list(weights.values()), create_graph=True)
        moved = zip(weights.items(), found, strict=True)
        ahead = {name: value - self.settings.lr * slope for (name, value), slope in moved}
        return loss(ahead, clean)

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that goes on from here."""
        parts = {"maker": self.maker.state(), "victim": self.victim.state()}
        parts["used"] = self.used.state_dict()
        return {f"{part}.{k}": v for part, state in parts.items() for k, v in state.items()}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on from ``state``."""
        self.maker.restore(below("maker.", tensors))
        self.victim.restore(below("victim.", tensors))
        self.used.load_state_dict(below("used.", tensors))
