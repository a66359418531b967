"""Witches' Brew: rightly labelled poisons with the gradient of a target under a wrong label.

For targets ``x_t`` of the test set, the adversarial class ``y_adv``, a surrogate ``theta`` that was
trained on clean data and poisons ``x_i`` of class ``y_adv``:

    g = grad_theta mean_t loss(x_t, y_adv)
    G = grad_theta mean_i loss(augmented(x_i + delta_i), y_adv)
    minimise 1 - <g, G> / (|g| |G|)  subject to  |delta_i| <= eps  and  0 <= x_i + delta_i <= 255

Who trains on the poisons lowers their loss, and with it that of the targets under the wrong label.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from harness.components import Facts, Misfit, component, setting
from harness.corruptions.brewing import (
    SURROGATE,
    Descent,
    carry_out,
    channels,
    gradients,
    inner,
    surrogate,
)
from harness.corruptions.surrogates import augment_misfits, augmented
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption, amount, amount_misfits, draw, expected
from harness.data.types import Split
from harness.errors import HarnessError
from harness.lazy import torch
from harness.spec.blocks import Use, use
from harness.training.watch import Meter


@frozen
class GradientMatching:
    """Settings of ``gradient_matching``; what is not said otherwise is the published code's."""

    share: float | None = setting(
        None, doc="share of the training data to poison", gt=0, le=1, example=0.01
    )
    count: int | None = setting(None, doc="poisoned samples", unit="samples", gt=0)
    adversarial_class: int | None = setting(
        None,
        doc="class that the targets are to get and that all poisons are of; left out, the data "
        "seed draws one that no target is of",
        ge=0,
    )
    source_class: int | None = setting(
        None, doc="class of the targets; left out, the data seed draws one", ge=0
    )
    targets: int = setting(1, doc="test samples to draw as targets", unit="samples", gt=0)
    rows: tuple[int, ...] | None = setting(
        None, doc="these rows of the test set are the targets, instead of a draw", ge=0
    )
    eps: float = setting(
        16.0, doc="largest change of an intensity", unit="intensities of 255", gt=0, le=255
    )
    restarts: int = setting(8, doc="starts, of which the one with the lowest loss is kept", gt=0)
    steps: int = setting(250, doc="steps after each start", unit="steps", gt=0)
    optimizer: Use = use(
        "optimizers",
        {"name": "adam", "lr": 0.1},
        doc="is given the sign of the gradient; its rate is in units of normalised inputs",
    )
    schedule: Use = use(
        "schedules",
        {"name": "step", "milestones": [0.372, 0.624, 0.872], "gamma": 0.1},
        doc="of the rate: a tenth after 93, 156 and 218 of 250 steps",
    )
    batch_size: int = setting(512, doc="poisons that are matched at a time", unit="samples", gt=0)
    augment: tuple[Use, ...] = use(
        "augmentations",
        ({"name": "random_crop", "padding": 4}, "horizontal_flip"),
        doc="what poisons go through before they are matched, in order",
        many=True,
    )
    rounded: bool = setting(
        False, doc="store whole intensities, as image files do; published code trains on the floats"
    )


def misfits(settings: GradientMatching, facts: Facts) -> Iterator[Misfit]:
    """Amount, classes, rows or augmentations that the data cannot have (trait ``check``)."""
    yield from amount_misfits(settings, facts)
    for name in ("adversarial_class", "source_class"):
        if (label := getattr(settings, name)) is not None and label >= facts.classes:
            yield Misfit(name, f"class {label} does not exist; there are {facts.classes}")
    if settings.source_class is not None:
        if settings.source_class == settings.adversarial_class:
            yield Misfit("source_class", "the targets are of the adversarial class already")
        if settings.rows is not None:
            yield Misfit("source_class", "rows name the targets already; leave one of both out")
    rows = settings.rows or ()
    if len(set(rows)) != len(rows):
        yield Misfit("rows", "a row is named twice")
    if facts.test is not None and rows and max(rows) >= facts.test:
        yield Misfit("rows", f"found {max(rows)}; there are {facts.test:,} test samples")
    yield from augment_misfits(settings.augment, facts)


def _work(settings: GradientMatching, sizes: Any) -> tuple[float, float]:
    """A gradient that is differentiated again costs about three backward passes."""
    seen = settings.restarts * settings.steps * sizes.corrupted
    return seen, 3 * seen


@component(
    "corruptions",
    "gradient_matching",
    settings=GradientMatching,
    source="Geiping et al., ICLR 2021, arXiv 2009.02276, algorithm 1; defaults as in "
    "JonasGeiping/poisoning-gradient-matching; algorithm 3 of Pawelczyk et al., arXiv 2406.17216",
    leaves=frozenset({"targets", "adversarial"}),
    amount=expected,
    check=misfits,
    requests=lambda settings: (SURROGATE,),
    work=_work,
)
def gradient_matching(train: Split, settings: GradientMatching, task: CorruptionTask) -> Corruption:
    """Change training images of the adversarial class until their gradient fits the targets'.

    The surrogate is the spec's model, trained by its recipe on the clean data, in eval mode.
    Several targets share the poisons: their gradients are averaged, as in the published code.
    Batches of poisons are matched one by one; all changes take one step of Adam on the gradient's
    sign, and are put back into the ball and the range of images. A restart counts by the mean loss
    of its last step.

    Leaves ``targets`` (rows of the test set) and ``adversarial`` (their wrong label), int64 [t],
    and ``losses`` of the restarts, float32 [restarts].

    Raises:
        HarnessError: there are too few samples to draw, a target is of the adversarial class, an
            augmentation passes no gradient, or a loss is not finite.
    """
    targets, label = chosen(settings, task)
    eligible = task.rows[train.targets[task.rows] == label]
    number = amount(settings.share, settings.count, len(eligible), len(task.rows))
    rows = draw(eligible, number, task.generator()).sort().values
    brew = Matching(train.inputs[rows], targets, label, settings, task)
    carry_out(brew, task)
    own = {"targets": targets, "adversarial": torch.full_like(targets, label)}
    return Corruption(rows, inputs=brew.poisons, tensors={**own, "losses": brew.losses})


def chosen(settings: GradientMatching, task: CorruptionTask) -> tuple[torch.Tensor, int]:
    """The targets, rows of the test set int64 [t], and the class that they are to get."""
    labels, adversarial = task.dataset.test.targets, settings.adversarial_class
    if settings.rows is not None:
        rows = torch.tensor(settings.rows)
    else:
        source = settings.source_class
        if source is None:
            source = _one_of({*labels.tolist()} - {adversarial}, task.generator("source class"))
        eligible = (labels == source).nonzero().flatten()
        if len(eligible) < settings.targets:
            found = f"{len(eligible):,} test samples are of class {source}"
            raise HarnessError(f"gradient_matching: {found}; {settings.targets:,} are wanted")
        rows = draw(eligible, settings.targets, task.generator("targets")).sort().values
    own = {*labels[rows].tolist()}
    if adversarial is None:
        every = set(range(len(task.dataset.classes)))
        adversarial = _one_of(every - own, task.generator("adversarial class"))
    elif adversarial in own:
        raise HarnessError(f"gradient_matching: a target is of class {adversarial} already")
    return rows, adversarial


def _one_of(classes: set[int], generator: torch.Generator) -> int:
    if not classes:
        raise HarnessError("gradient_matching: no class is left; targets and poisons need two")
    return sorted(classes)[int(torch.randint(len(classes), (1,), generator=generator))]


def mismatch(wanted: Sequence[torch.Tensor], found: Sequence[torch.Tensor]) -> torch.Tensor:
    """1 - cosine of two gradients, each over all parameters jointly."""
    sizes = inner(wanted, wanted).sqrt() * inner(found, found).sqrt()
    return 1 - inner(wanted, found) / sizes


class Matching:
    """The restarts, one after the other (a ``Brew``).

    The changes of the poisons are in units of normalised inputs, so that their rate is.
    """

    def __init__(
        self,
        images: torch.Tensor,
        targets: torch.Tensor,
        label: int,
        settings: GradientMatching,
        task: CorruptionTask,
    ) -> None:
        self.settings, self.task, self.encoding = settings, task, task.dataset.encoding
        self.done, self.total = 0, settings.restarts * settings.steps
        self.base = images.to(task.device).float()
        self.low = (self.base - settings.eps).clamp(min=0)
        self.high = (self.base + settings.eps).clamp(max=255)
        _, self.std = channels(self.encoding, task.device)
        self.best, self.losses = self.base, torch.full((settings.restarts,), torch.inf)
        self.label, self.model = torch.tensor(label, device=task.device), surrogate(task)
        self.parameters = list(self.model.parameters())
        x = self.encoding.batch(task.dataset.test.inputs[targets].to(task.device))
        self.wanted = gradients(self.model, x, self.label.expand(len(x)), self.parameters)
        self._begin(0)

    @property
    def poisons(self) -> torch.Tensor:
        """The images of the best restart: float32 intensities in [0, 255], or uint8."""
        if not self.settings.rounded:
            return self.best
        return self.best.round().clamp(self.low.ceil(), self.high.floor()).to(torch.uint8)

    def _begin(self, restart: int) -> None:
        """Normal noise of the ball's radius, put into it, as in the published code."""
        noise = torch.randn(self.base.shape, generator=self.task.generator(f"start {restart}"))
        settings, change = self.settings, self.settings.eps * noise.to(self.base.device) / self.std
        self.descent = Descent(change, settings.optimizer, settings.schedule, settings.steps)
        self._project()

    def _project(self) -> torch.Tensor:
        """Put the changes back into ball and range. Returns the changed images."""
        change = self.descent.values
        images = (self.base + change * self.std).clamp(self.low, self.high)
        change.copy_((images - self.base) / self.std)
        return images

    def step(self, meter: Meter) -> float:
        """One step of all changes. Returns the mean loss of the batches before it."""
        restart, step = divmod(self.done, self.settings.steps)
        if step == 0:
            self._begin(restart)
        draws, size = self.task.generator(f"augment {restart} {step}"), self.settings.batch_size
        parts = [
            self.matched(*part, draws)
            for part in zip(self.base.split(size), self.descent.values.split(size), strict=True)
        ]
        self.descent.move(torch.cat([gradient for _, gradient in parts]).sign(), step)
        images = self._project()
        meter.forward(len(images))
        meter.backward(3 * len(images))
        meter.steps += 1
        loss = sum(loss for loss, _ in parts) / len(parts)
        if step == self.settings.steps - 1:
            if loss < self.losses.min():
                self.best = images
            self.losses[restart] = loss
        return loss

    def matched(
        self, base: torch.Tensor, change: torch.Tensor, draws: torch.Generator
    ) -> tuple[float, torch.Tensor]:
        """The loss of a batch of poisons, and its gradient with respect to their changes."""
        change = change.clone().requires_grad_(True)
        images = augmented(base + change * self.std, self.settings.augment, draws)
        x, y = self.encoding.batch(images), self.label.expand(len(images))
        loss = mismatch(self.wanted, gradients(self.model, x, y, self.parameters, graph=True))
        return loss.item(), torch.autograd.grad(loss, change)[0]

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that goes on from here."""
        return {"best": self.best, "losses": self.losses, **self.descent.state()}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on from ``state``."""
        self.best, self.losses = tensors["best"].to(self.base.device), tensors["losses"]
        self.descent.restore(tensors)
