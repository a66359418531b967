"""Draws nearly all weights anew and learns to be as certain as the base model was."""

from __future__ import annotations

from attrs import frozen

from harness.components import component, setting
from harness.data.pool import Batch
from harness.lazy import F, nn, torch
from harness.methods.layers import layers_of, smallest
from harness.methods.recipes import OwnSGD, own_recipe
from harness.methods.task import Task


@frozen
class PruneReinitEntropy(OwnSGD):
    """Settings of ``prune_reinit_entropy``."""

    share: float = setting(0.99, doc="of the weights and biases that is pruned", gt=0, le=1)
    epochs: float = setting(3.2, doc="passes over the retain set", unit="epochs", gt=0)
    one_more_step: bool = setting(True, doc="whether a step is added (the published code)")
    lr: float = setting(5e-4, doc="learning rate", gt=0)
    class_power: float = setting(-0.1, doc="a class weighs its retain samples to this power")
    entropy_weight: float = setting(1.0, doc="weight of the entropies' squared difference", ge=0)
    round_to_fp16: bool = setting(True, doc="round weights and BatchNorm's statistics at the end")


def prune_and_draw(model: nn.Module, share: float, draws: torch.Generator) -> None:
    """Draw the smallest ``share`` of weights anew from U(-1, 1) / sqrt(fan-in), in place.

    Weights and biases of all convolutions and linear layers are ranked together by their absolute
    values. Biases among the smallest become 0.
    """
    parameters = (p for layer in layers_of(model).values() for p in layer.parameters())
    ranked = [p.data for p in parameters]
    count = round(share * sum(p.numel() for p in ranked))
    for values, mask in zip(ranked, smallest([p.abs() for p in ranked], count), strict=True):
        anew = torch.zeros(values.shape)
        if values.ndim > 1:
            bound = values[0].numel() ** -0.5
            anew.uniform_(-bound, bound, generator=draws)
        values.copy_(torch.where(mask, anew.to(mask.device), values))


def entropy(logits: torch.Tensor) -> torch.Tensor:
    """-sum_c p_c ln p_c of each row of ``logits`` [B, C], in nats, [B]."""
    log_p = F.log_softmax(logits.float(), 1)
    return -(log_p.exp() * log_p).sum(1)


@component(
    "methods",
    "prune_reinit_entropy",
    settings=PruneReinitEntropy,
    source="NeurIPS 2023 unlearning, 4th place; PRMQ in arXiv 2410.01276; protocol section 4.6",
    sees=frozenset({"retain", "original weights"}),
    work=lambda s, sizes: (2 * s.epochs * sizes.retain, s.epochs * sizes.retain),
)
def prune_reinit_entropy(model: nn.Module, task: Task, settings: PruneReinitEntropy) -> nn.Module:
    """Draw the smallest weights anew, then fine-tune to the base model's entropies.

    L = weighted cross-entropy + entropy_weight * mean squared difference between the entropies of
    the model's and the base model's predictions, on the retain set at a constant rate.
    """
    teacher = task.original()
    counts = torch.bincount(task.retain.targets.cpu(), minlength=task.classes).clamp(min=1)
    weights = (counts.float() ** settings.class_power).to(task.device)
    prune_and_draw(model, settings.share, task.generator("weights"))

    def loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        with torch.no_grad():
            task.watch.meter.forward(len(batch.y))
            wanted = entropy(teacher(batch.x))
        fitted = F.cross_entropy(logits.float(), batch.y, weight=weights)
        return fitted + settings.entropy_weight * F.mse_loss(entropy(logits), wanted)

    batches = -(-len(task.retain) // settings.batch_size)
    steps = max(1, int(batches * settings.epochs) + settings.one_more_step)
    recipe = own_recipe(settings, task.recipe, steps=steps)
    task.fit(model, settings.shown(task.retain), recipe, loss)
    return model.half().float() if settings.round_to_fp16 else model
