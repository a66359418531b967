"""Heavy modules that load on first use, so that commands which need no tensor stay instant.

``from harness.lazy import torch`` binds a stand-in. The first attribute read imports the real
module and every attribute is remembered on the stand-in, so later reads cost nothing extra.
A class that derives from ``nn.Module`` needs the real module at definition time: such classes live
in files that are imported inside the functions which build them.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any


class _Lazy(ModuleType):
    def __getattr__(self, name: str) -> Any:
        value = getattr(import_module(self.__name__), name)
        setattr(self, name, value)
        return value


if TYPE_CHECKING:
    import numpy as np
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
else:
    np = _Lazy("numpy")
    torch = _Lazy("torch")
    nn = _Lazy("torch.nn")
    F = _Lazy("torch.nn.functional")

__all__ = ["F", "nn", "np", "torch"]
