"""Which weights of a model a method changes."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import HarnessError
from harness.lazy import nn, torch


def convolutions(model: nn.Module) -> list[nn.Conv2d]:
    """The two-dimensional convolutions of ``model``, those of shortcuts included, in order.

    Raises HarnessError when there is none.
    """
    if found := [module for module in model.modules() if isinstance(module, nn.Conv2d)]:
        return found
    raise HarnessError("this method changes convolutions, and the model has none")


def smallest(scores: Sequence[torch.Tensor], count: int) -> list[torch.Tensor]:
    """Masks, shaped like ``scores``, of the ``count`` smallest numbers of all, ties in order."""
    order = torch.cat([score.flatten() for score in scores]).argsort(stable=True)
    chosen = torch.zeros(len(order), dtype=torch.bool, device=order.device)
    chosen[order[:count]] = True
    parts = chosen.split([score.numel() for score in scores])
    return [part.view(score.shape) for part, score in zip(parts, scores, strict=True)]
