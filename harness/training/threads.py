"""Thread count and determinism: fixed rules, so that results do not depend on a probe."""

from __future__ import annotations

import os

from harness.lazy import torch

SMALL_STEP = 5e9  # FLOPs of a training step below which a second thread only costs
MOST_THREADS = 8


def threads_for(flops_per_step: float) -> int:
    """Intra-op threads for a training step of that many FLOPs.

    An 8x8 CNN ran 17 times slower with two threads than with one, ResNet-9 on 32x32 1.7 times
    faster (two cores).
    """
    if flops_per_step < SMALL_STEP:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, MOST_THREADS))


def set_determinism(bitwise: bool) -> None:
    """Identical bytes on one type of machine, or fast kernels."""
    if bitwise:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # The same mode as use_deterministic_algorithms, which imports torch's compiler: 2.4 s.
    torch.set_deterministic_debug_mode("error" if bitwise else "default")
    torch.backends.cudnn.benchmark = not bitwise
