"""The recipe's loss."""

from __future__ import annotations

from collections.abc import Callable

from harness.data.pool import Batch, Pool
from harness.lazy import F, torch
from harness.spec.blocks import Train

Loss = Callable[["torch.Tensor", Batch], "torch.Tensor"]


def cross_entropy(train: Train, pool: Pool) -> Loss:
    """Mean cross-entropy with the recipe's label smoothing and class weights."""
    weight: torch.Tensor | None = None

    def loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        nonlocal weight
        if train.class_weights == "balanced" and weight is None:
            weight = balanced_weights(pool.targets, logits.shape[1]).to(logits.device)
        return F.cross_entropy(
            logits.float(), batch.y, weight=weight, label_smoothing=train.label_smoothing
        )

    return loss


def balanced_weights(targets: torch.Tensor, classes: int) -> torch.Tensor:
    """n / (classes * count of the class), float32 [classes]; 0 for a class that is absent."""
    counts = torch.bincount(targets.cpu(), minlength=classes).float()
    return torch.where(counts > 0, len(targets) / (classes * counts.clamp(min=1)), 0.0)
