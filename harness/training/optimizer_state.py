"""An optimiser's state as flat named tensors, which a file can hold without pickling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.lazy import torch


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Every tensor or number of the state, named ``INDEX.SLOT`` as ``0.momentum_buffer``."""
    return {
        f"{index}.{slot}": torch.as_tensor(value)
        for index, slots in optimizer.state_dict()["state"].items()
        for slot, value in slots.items()
        if value is not None
    }


def below(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The ``tensors`` whose names begin with ``prefix``, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]
) -> None:
    """Put back what ``optimizer_tensors`` gave, in the memory layout of the parameters.

    A file keeps no layout: without it, channels-last weights would meet contiguous momentum and
    take other, slower kernels than before the interruption.
    """
    saved: dict[str, Any] = {**optimizer.state_dict(), "state": {}}
    for name, value in tensors.items():
        index, slot = name.split(".", 1)
        saved["state"].setdefault(int(index), {})[slot] = value
    optimizer.load_state_dict(saved)
    for weight, slots in optimizer.state.items():
        for slot, value in slots.items():
            if torch.is_tensor(value) and value.ndim and value.shape == weight.shape:
                slots[slot] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
