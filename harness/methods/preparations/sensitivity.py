"""How much the norm of the outputs depends on each weight: importance without labels."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from harness.components import component, setting
from harness.data.pool import Batch, Pool
from harness.lazy import nn, torch
from harness.methods.preparations._gradients import Gradients, importance, work
from harness.methods.task import Task


@frozen
class Sensitivity(Gradients):
    """Settings of ``sensitivity``."""

    output: Literal["norm", "squared_norm"] = setting(
        "norm", doc="L2 norm of a sample's logits (XLF), or its square (LF)"
    )


@component(
    "preparations",
    "sensitivity",
    settings=Sensitivity,
    source="norm: Potion's XLF; squared_norm: LF-SSD, Foster et al. arXiv 2402.19308, after "
    "Aljundi et al. ECCV 2018 (Potion protocol section 5)",
    work=work,
)
def sensitivity(
    model: nn.Module, task: Task, settings: Sensitivity, pool: Pool
) -> dict[str, torch.Tensor]:
    """Mean over batches (or samples) of |gradient of the mean output norm|.

    The square weights each sample by twice its norm, so that samples with large outputs prevail;
    the norm itself does not. fp32, eval-mode BatchNorm, labels are not read.
    Returns one tensor a parameter, of its shape.

    Raises:
        HarnessError: the pool is empty.
    """

    def norm(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        if settings.output == "squared_norm":
            return logits.square().sum(1).mean()
        return torch.linalg.vector_norm(logits, dim=1).mean()

    return importance(model, task, settings, pool, norm, "absolute")
