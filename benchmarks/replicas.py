"""Models an hour, trained one by one and in one pass: python benchmarks/replicas.py [DEVICE]

Fast kernels and float32. The GPU's part is ResNet-18 at batch 64, as the unlearning challenge
trains it; nobody has seen it on a GPU so far.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch
from attrs import frozen
from gpu_checks import alone, synchronised, together

from harness.components import get
from harness.data.encodings import Images
from harness.data.pool import Pool
from harness.data.types import Split
from harness.plan.cost import flops_per_sample
from harness.spec.blocks import Train
from harness.spec.structure import structure_block, structure_use
from harness.training.seeding import seeded_build
from harness.training.threads import set_determinism, threads_for
from side_by_side import interleaved, write

TURNS = 3
LENGTH = 1000  # steps of the trainings that are counted


@frozen
class Case:
    name: str
    model: dict[str, Any]
    shape: tuple[int, int, int]
    batch: int
    steps: int
    replicas: tuple[int, ...]


ON_CPU = (
    Case("small CNN (8, 16)", {"name": "small_cnn", "widths": [8, 16]}, (1, 8, 8), 32, 20, (4, 16)),
    Case("small CNN (32, 64, 64)", {"name": "small_cnn"}, (1, 8, 8), 64, 10, (4, 8)),
    Case("ResNet-9 (width 8)", {"name": "resnet9", "width": 8}, (3, 32, 32), 64, 3, (4,)),
)
STOCK = {"name": "resnet18", "cifar_stem": False}
ON_GPU = (Case("ResNet-18", STOCK, (3, 32, 32), 64, 100, (2, 8, 32, 64)),)


def rates(case: Case, device: torch.device) -> list[list[object]]:
    """A row for each number of replicas."""
    channels, total = case.shape[0], 4 * case.batch
    encoding = Images(case.shape, mean=(0.5,) * channels, std=(0.25,) * channels)
    use = structure_use("models", case.model)
    build = partial(get("models", use.name).function, use.settings, encoding, 10)
    torch.set_num_threads(threads_for(3 * case.batch * flops_per_sample(use, encoding, 10)))
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(256, (total, *case.shape), generator=draws).to(torch.uint8)
    split = Split(images, torch.randint(10, (total,), generator=draws))
    pool = Pool(split, torch.arange(total), encoding=encoding, device=device)
    optimizer = {"name": "sgd", "lr": 0.001}
    recipe = structure_block(
        Train, {"steps": case.steps, "batch_size": case.batch, "optimizer": optimizer}
    )

    def run(way: Callable[..., None], count: int) -> None:
        made = [seeded_build(build, f"seed {seed}").to(device) for seed in range(count)]
        way(made, pool, recipe)
        synchronised(device)

    rows: list[list[object]] = []
    for count in case.replicas:
        ways = {way.__name__: partial(run, way, count) for way in (alone, together)}
        one, both = (median(seconds) for seconds in interleaved(ways, TURNS).values())
        hourly = [f"{3600 * count * case.steps / LENGTH / took:,.0f}" for took in (one, both)]
        rows.append([case.name, case.shape, case.batch, count, *hourly, f"{one / both:.2f}"])
    return rows


def main(device: torch.device) -> None:
    set_determinism(bitwise=False)
    cases = ON_CPU if device.type == "cpu" else ON_GPU
    rows = [row for case in cases for row in rates(case, device)]
    headers = ["model", "images", "batch", "replicas", "alone", "together", "times faster"]
    note = (
        f"Alone and together: trainings of {LENGTH:,} steps an hour; median of {TURNS} turns. "
        "`harness run` groups on a CPU only where it is told to. "
        + "Not measured on a GPU so far. " * (device.type == "cpu")
        + f"Load of the machine at the end: {os.getloadavg()[0]:.1f}."
    )
    title = f"Models trained one by one and in one pass ({device.type})"
    write("replicas", title, headers, rows, note)


if __name__ == "__main__":
    main(torch.device(sys.argv[1] if len(sys.argv) > 1 else "cpu"))
