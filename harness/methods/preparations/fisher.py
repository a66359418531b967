"""The diagonal of the empirical Fisher information: how much each weight matters for a set."""

from __future__ import annotations

from attrs import frozen

from harness.components import component
from harness.data.pool import Batch, Pool
from harness.lazy import F, nn, torch
from harness.methods.preparations._gradients import Gradients, importance, work
from harness.methods.task import Task


@frozen
class Fisher(Gradients):
    """Settings of ``fisher``."""


@component(
    "preparations",
    "fisher",
    settings=Fisher,
    source="Foster et al. AAAI 2024, eq. 4; batch-mean gradients as in its code (Potion section 5)",
    work=work,
)
def fisher(model: nn.Module, task: Task, settings: Fisher, pool: Pool) -> dict[str, torch.Tensor]:
    """Mean over batches (or samples) of the squared gradient of the mean cross-entropy.

    fp32, eval-mode BatchNorm. Returns one tensor a parameter, of its shape.

    Raises:
        HarnessError: the pool is empty.
    """

    def loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        return F.cross_entropy(logits, batch.y)

    return importance(model, task, settings, pool, loss, "square")
