"""Tensors as safetensors takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def apart(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Contiguous tensors that share no memory, as safetensors takes them."""
    apart: dict[str, torch.Tensor] = {}
    memory: set[int] = set()
    for name, tensor in tensors.items():
        whole = tensor.contiguous()
        shared = whole.untyped_storage().data_ptr() in memory
        apart[name] = whole.clone() if shared else whole
        memory.add(whole.untyped_storage().data_ptr())
    return apart
