"""torchvision, also where its compiled operators do not load.

The wheel on PyPI is built for CUDA builds of torch. Beside a CPU build its operators are missing,
and importing torchvision fails because it registers shape rules for two of them. Declaring those
two first is enough for models, transforms and data sets, which do not call them.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@cache
def load_torchvision() -> ModuleType:
    """The torchvision module."""
    try:
        import torchvision
    except RuntimeError:
        import sys

        import torch

        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        for operator in _OPERATORS:
            if not hasattr(torch.ops.torchvision, operator.split("(")[0]):
                torch.library.define(
                    f"torchvision::{operator.split('(')[0]}", "(" + operator.split("(", 1)[1]
                )
        import torchvision
    module: ModuleType = torchvision
    return module
