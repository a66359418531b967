"""Neural tangent generalisation attack: images whose kernel machine fails on clean ones.

A fully connected network of infinite width, trained for the time t by gradient flow on the mean
squared error of images X [N, d] with one-hot labels Y [N, C], predicts for clean images V

    f(V) = K(V, X) (t / NC) phi(t / NC K(X, X)) Y,    phi(A) = A^-1 (I - exp(-A)),

where K is its tangent kernel. Of every block of images, changes maximise the cross-entropy of f(V):

    maximise over delta  sum_v loss(f(V; X + delta), y_v)  subject to  |delta| <= eps

by steps of the gradient's sign, within the range of images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from attrs import frozen

from harness.components import component, setting
from harness.corruptions.brewing import carry_out
from harness.corruptions.surrogates import UNIT, Ball, ball_misfits, inside, radius
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption, draw
from harness.corruptions.unlearnable import chosen, expected, finish, norms
from harness.data.types import Split
from harness.lazy import F, torch
from harness.training.watch import Meter

AT_ONCE = 2048  # clean images whose kernel is computed at a time


@frozen
class TangentKernel(Ball):
    """Settings of ``tangent_kernel``; defaults are the published code's for CIFAR-10."""

    steps: int = setting(10, doc="steps of a block", unit="steps", gt=0)
    step_size: float | None = setting(
        None, doc="of a step; 1.1 eps / steps when left out", unit=UNIT, gt=0, le=1
    )
    time: float = setting(64.0, doc="of the training, in steps of rate 1", unit="steps", gt=0)
    block: int = setting(
        512,
        doc="images that are moved together; memory grows with its square, work with its cube",
        unit="samples",
        gt=0,
        le=4096,
    )
    attacked: int = setting(
        10_000, doc="clean training images V to fail on, drawn; all where there are fewer",
        unit="samples", gt=0,
    )  # fmt: skip
    layers: int = setting(5, doc="fully connected layers, each followed by erf", gt=0)
    weight_variance: float = setting(1.76, doc="of their weights, times their width", gt=0)
    bias_variance: float = setting(0.18, doc="of their biases", ge=0)


@component(
    "corruptions",
    "tangent_kernel",
    settings=TangentKernel,
    source="Yuan and Wu, ICML 2021, section 3 (NTGA); defaults as in lionelmessi6410/ntga; kernel "
    "of Jacot et al. 2018 with the expectations of Williams 1997 for erf",
    leaves=frozenset({"linf", "l2"}),
    amount=expected,
    check=ball_misfits,
)
def tangent_kernel(train: Split, settings: TangentKernel, task: CorruptionTask) -> Corruption:
    """Move blocks of images so that a network of infinite width learns nothing from them.

    uint8 images [m, C, H, W] in and out, as intensities in [0, 1] in the kernel; labels stay. No
    network is trained, and no model's passes are metered: the kernel is in closed form, in
    float64. Blocks are drawn without replacement, the last one may be smaller. The published
    convolutional kernel is not here. Published code takes every step from the clean images with
    the whole eps: what it gives is that of ``steps: 1`` with ``step_size`` eps. It also adds
    0.0001 of its mean to the kernel's diagonal, and leaves out of the data what it attacks.

    Leaves ``linf`` and ``l2`` of the stored change, float32 [m], in intensities of [0, 1].

    Raises:
        HarnessError: a loss is not finite.
    """
    rows = chosen(settings, task)
    clean = train.inputs[rows]
    brew = Attack(clean, train.targets[rows], settings, task)
    carry_out(brew, task)
    return Corruption(rows, inputs=brew.images, tensors=norms(clean, brew.images))


def kernel(first: torch.Tensor, second: torch.Tensor, settings: TangentKernel) -> torch.Tensor:
    """The tangent kernel of [n, d] and [m, d], float64 [n, m]."""
    weight, bias, width = settings.weight_variance, settings.bias_variance, first.shape[1]
    # Covariances of what a layer is given: of pairs, and of both sets with themselves.
    both, own, other = first @ second.T / width, (first**2).mean(1), (second**2).mean(1)
    tangent = torch.zeros_like(both)
    for _ in range(settings.layers):
        both, own, other = (weight * covariance + bias for covariance in (both, own, other))
        tangent = both + weight * tangent
        scale = (1 + 2 * own)[:, None] * (1 + 2 * other)
        tangent = tangent * 4 / math.pi / (scale - 4 * both**2).sqrt()
        both = 2 / math.pi * (2 * both / scale.sqrt()).asin()
        own, other = (2 / math.pi * (2 * q / (1 + 2 * q)).asin() for q in (own, other))
    return tangent


def learnt(images: torch.Tensor, labels: torch.Tensor, settings: TangentKernel) -> torch.Tensor:
    """(t / NC) phi(t / NC K) Y of images [N, d] and one-hot labels: the predictions for V are
    K(V, X) times it. Float64 [N, C].

    exp([[-A, Y], [0, 0]]) has phi(A) Y at its upper right, also where A has no inverse.
    """
    rate, count = settings.time / labels.numel(), len(labels)
    upper = torch.cat([-rate * kernel(images, images, settings), labels], 1)
    square = torch.cat([upper, upper.new_zeros(labels.shape[1], upper.shape[1])])
    return rate * torch.linalg.matrix_exp(square)[:count, count:]


class Attack:
    """Block after block, in steps of one block (a ``Brew``).

    ``images`` [m, C, H, W] are as stored, those of later blocks still clean.
    """

    def __init__(
        self,
        clean: torch.Tensor,
        labels: torch.Tensor,
        settings: TangentKernel,
        task: CorruptionTask,
    ) -> None:
        self.settings, self.task, self.eps = settings, task, radius(settings)
        self.size = 255 * (settings.step_size or 1.1 * settings.eps / settings.steps)
        self.clean, train = clean, task.dataset.train
        self.onehot = F.one_hot(labels, len(task.dataset.classes)).double().to(task.device)
        order = torch.randperm(len(labels), generator=task.generator("blocks"))
        self.parts = order.split(settings.block)
        self.done, self.total = 0, len(self.parts) * settings.steps
        number = min(settings.attacked, len(task.rows))
        attacked = draw(task.rows, number, task.generator("attacked"))
        self.v = self._flat(train.inputs[attacked].to(task.device))
        self.y = train.targets[attacked].to(task.device)
        self.images = finish(clean, torch.zeros_like(clean), settings.rounding)
        self.change = torch.zeros(0)

    def _flat(self, images: torch.Tensor) -> torch.Tensor:
        return images.double().flatten(1) / 255

    def step(self, meter: Meter) -> float:
        """One step of one block. Returns the mean loss of V before it."""
        number, step = divmod(self.done, self.settings.steps)
        part = self.parts[number]
        clean = self.clean[part].to(self.task.device).float()
        if step == 0:
            self.change = torch.zeros_like(clean)
        loss, gradient = self.slope(clean + self.change, self.onehot[part.to(self.y.device)])
        self.change = inside(self.change + self.size * gradient.sign(), clean, self.eps)
        meter.steps += 1
        if step == self.settings.steps - 1:
            stored = finish(self.clean[part], self.change.cpu(), self.settings.rounding)
            self.images[part] = stored
        return loss

    def slope(self, images: torch.Tensor, onehot: torch.Tensor) -> tuple[float, torch.Tensor]:
        """The mean loss of V after training on ``images``, and what raises it.

        V goes a part at a time, with the predictions' coefficients held fixed; these are
        differentiated once, at the end.
        """
        own = images.requires_grad_(True)
        x = self._flat(own)
        trained = learnt(x, onehot, self.settings)
        fixed = trained.detach().requires_grad_(True)
        total, loss = [torch.zeros_like(x), torch.zeros_like(fixed)], 0.0
        for v, y in zip(self.v.split(AT_ONCE), self.y.split(AT_ONCE), strict=True):
            point = x.detach().requires_grad_(True)
            each = F.cross_entropy(kernel(v, point, self.settings) @ fixed, y, reduction="sum")
            found = torch.autograd.grad(each, [point, fixed])
            total = [t + g for t, g in zip(total, found, strict=True)]
            loss += each.item() / len(self.y)
        [gradient] = torch.autograd.grad([x, trained], own, total)
        return loss, gradient

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that goes on from here."""
        return {"images": self.images, "change": self.change}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on from ``state``."""
        self.images, self.change = tensors["images"], tensors["change"].to(self.task.device)
