"""Transposed kernels, alone or in a mixture with learning from mistakes."""

from __future__ import annotations

import copy

from attrs import frozen

from harness.components import component, setting
from harness.data.pool import Pool
from harness.errors import HarnessError
from harness.lazy import nn, torch
from harness.methods.layers import convolutions, needs_convolutions
from harness.methods.recipes import COSINE, OwnSGD, own_recipe
from harness.methods.task import Task

TEAM = "NeurIPS 2023 unlearning, 5th place; protocol section 4.7"


@frozen
class KernelTranspose(OwnSGD):
    """Settings of ``kernel_transpose``."""

    epochs: int = setting(3, doc="passes over the training samples", unit="epochs", gt=0)
    lr: float = setting(1e-3, doc="learning rate of the first epoch, of a cosine", gt=0)


@component(
    "methods",
    "kernel_transpose",
    settings=KernelTranspose,
    source=f"{TEAM}, one of its two ways; CT in arXiv 2410.01276",
    sees=frozenset({"retain", "original weights"}),
    check=needs_convolutions,
    work=lambda s, sizes: (s.epochs * sizes.retain,) * 2,
)
def kernel_transpose(model: nn.Module, task: Task, settings: KernelTranspose) -> nn.Module:
    """Swap height and width of every convolution's kernels, then fine-tune on the retain set.

    Raises HarnessError when kernels are not square, or the model has no convolution.
    """
    for layer in convolutions(model):
        height, width = layer.weight.shape[2:]
        if height != width:
            raise HarnessError(f"only square kernels can be transposed; found {height}x{width}")
        layer.weight.data.copy_(layer.weight.data.transpose(2, 3).clone())
    task.fit(model, settings.shown(task.retain), own_recipe(settings, task.recipe, schedule=COSINE))
    return model


@frozen
class Mixture(KernelTranspose):
    """Settings of ``mixture``; ``epochs`` and ``lr`` are those of both ways."""

    transpose_share: float = setting(246 / 512, doc="probability of transposing", ge=0, le=1)
    scratch_epochs: int = setting(3, doc="length of the new model's training (ours)", gt=0)
    scratch_lr: float = setting(0.01, doc="learning rate of the new model (ours)", gt=0)
    confidence: float = setting(
        0.5, doc="probability with which the new model's mistakes count (ours)", ge=0, le=1
    )


@component(
    "methods",
    "mixture",
    settings=Mixture,
    source=f"{TEAM}; 246 runs of 512 transposed kernels",
    check=needs_convolutions,
    work=lambda s, sizes: (
        ((s.epochs + (1 - s.transpose_share) * s.scratch_epochs) * sizes.retain,) * 2
    ),
)
def mixture(model: nn.Module, task: Task, settings: Mixture) -> nn.Module:
    """Transpose kernels or learn from mistakes, one of the two, drawn for each run.

    (a) ``kernel_transpose``. (b) Fine-tune the base model on forget samples with wrong labels:
    what a copy of it, fine-tuned on the retain set, takes a sample for, where that is wrong; else
    what a model trained on the retain set alone takes it for, where that is wrong and confident.
    Samples that neither mistakes are left out; without any, the model stays as it is.

    No more is known of (b). Ours are the new model's length and rate, the confidence, the order
    of the two sources, (a)'s recipe for the other trainings, and the new model's architecture:
    the spec's own, where the team's was small. The facts say which way a run went (``transposed``:
    1 or 0), and on how many samples (b) learned (``pseudo_labelled``).
    """
    drawn = torch.rand((), generator=task.generator("way")).item()
    task.facts["transposed"] = float(drawn < settings.transpose_share)
    if task.facts["transposed"]:
        return kernel_transpose(model, task, settings)
    mistakes = _mistakes(model, task, settings)
    task.facts["pseudo_labelled"] = float(len(mistakes))
    if len(mistakes):
        task.fit(
            model, settings.shown(mistakes), own_recipe(settings, task.recipe, schedule=COSINE)
        )
    return model


def _mistakes(model: nn.Module, task: Task, settings: Mixture) -> Pool:
    """The forget samples that one of two models mistakes, with what it takes them for."""
    base, own = task.recipe, settings
    scratch = own_recipe(own, base, epochs=own.scratch_epochs, lr=own.scratch_lr)
    fitted = (
        (copy.deepcopy(model), own_recipe(own, base, schedule=COSINE), 0.0),
        (task.fresh("model of mistakes"), scratch, own.confidence),
    )
    truth = task.forget.targets
    labels = truth.clone()
    for learner, train, confidence in fitted:
        task.fit(learner, own.shown(task.retain), train)
        with torch.no_grad():
            logits = torch.cat([learner(batch.x) for batch in task.forget.ordered()])
        task.watch.meter.forward(len(truth))
        sure, found = logits.softmax(1).max(1)
        labels = torch.where((labels == truth) & (sure >= confidence), found, labels)
    return task.forget.with_targets(labels).subset((labels != truth).nonzero().flatten())
