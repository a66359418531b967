"""How often the samples of a set select each key-value pair of a bottleneck."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.components import NoSettings, component
from harness.data.pool import Pool
from harness.errors import HarnessError
from harness.lazy import nn, torch
from harness.methods.task import Task

if TYPE_CHECKING:
    from harness.models._bottleneck import KeyValueBottleneck


def bottleneck(model: nn.Module) -> KeyValueBottleneck:
    """``model``. Raises HarnessError where it is no discrete key-value bottleneck."""
    from harness.models._bottleneck import KeyValueBottleneck

    if not isinstance(model, KeyValueBottleneck):
        raise HarnessError(
            f"{type(model).__name__} has no key-value pairs; the model key_value_bottleneck has"
        )
    return model


@component(
    "preparations",
    "key_counts",
    source="Shah et al. TMLR 2025 (arXiv 2311.15268), algorithm 1: the pass that counts",
    work=lambda settings, count: (count, 0),
)
def key_counts(
    model: nn.Module, task: Task, settings: NoSettings, pool: Pool
) -> dict[str, torch.Tensor]:
    """``counts`` int32 [C, P]: how many samples of the set select each pair; one forward pass.

    Raises:
        HarnessError: the model is no key-value bottleneck.
    """
    return {"counts": bottleneck(model).counts(pool, task.watch)}
