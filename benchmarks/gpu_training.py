"""Potion's base training on an accelerator: python benchmarks/gpu_training.py

Trains ResNet-9 with the recipe of specs/potion/cifar10.yaml (4,000 steps of 512 samples) on random
images, counts its floating-point operations, and states the share of what a large matrix product
reaches on the same device in the same run. Random images take the time that real ones take.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import attrs
import torch

from harness.components import get
from harness.data.datasets.images import CIFAR
from harness.data.pool import Pool
from harness.data.types import Split
from harness.plan.cost import flops_per_sample
from harness.spec.load import load_spec
from harness.training.loop import fit
from harness.training.seeding import generator
from harness.training.threads import set_determinism
from side_by_side import write

SPEC = Path(__file__).parents[1] / "specs" / "potion" / "cifar10.yaml"
KINDS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def synchronised(device: torch.device) -> float:
    """The time after everything that was handed to ``device`` is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """How long ``run`` takes until its last kernel has ended."""
    begun = synchronised(device)
    run()
    return synchronised(device) - begun


def product_peak(device: torch.device, precision: str, side: int) -> float:
    """FLOP/s of a product of two ``side`` x ``side`` matrices: median of 20 after a warm-up."""
    a, b = (torch.randn(side, side, device=device, dtype=KINDS[precision]) for _ in range(2))
    for _ in range(3):
        a @ b
    return 2 * side**3 / median(seconds(lambda: a @ b, device) for _ in range(20))


def training(device: torch.device, precision: str, steps: int, bitwise: bool) -> float:
    """FLOP/s of the recipe's training loop, batches and augmentation included."""
    spec = load_spec(SPEC)
    train = attrs.evolve(spec.train, precision=precision)
    count = max(train.batch_size, 50_000 if device.type == "cuda" else train.batch_size)
    images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)
    pool = Pool(
        Split(images, torch.randint(0, 10, (count,))), torch.arange(count),
        encoding=CIFAR, device=device, augment=spec.data.augment,
        channels_last=device.type == "cuda",
    )  # fmt: skip
    model = get("models", "resnet9").function(spec.model.settings, CIFAR, 10).to(device)
    if device.type == "cuda":
        model = model.to(memory_format=torch.channels_last)
    set_determinism(bitwise)

    def take(number: int) -> None:
        recipe = attrs.evolve(train, steps=number)
        fit(model, pool, recipe, generator=lambda purpose: generator("benchmark", purpose))

    take(min(100, steps))
    taken = seconds(lambda: take(steps), device)
    flops = 3 * flops_per_sample(spec.model, CIFAR, 10) * train.batch_size * steps
    return flops / taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--side", type=int, default=8192, help="of the matrices")
    parser.add_argument("--precision", nargs="+", default=["fp16", "bf16"], choices=KINDS)
    asked = parser.parse_args()
    device = torch.device(asked.device)
    rows: list[list[object]] = []
    for precision in asked.precision:
        peak = product_peak(device, precision, asked.side)
        for bitwise in (True, False):
            reached = training(device, precision, asked.steps, bitwise)
            kernels = "bitwise" if bitwise else "statistical"
            rows.append([precision, kernels, f"{peak / 1e12:.2f}", f"{reached / 1e12:.2f}",
                         f"{100 * reached / peak:.1f} %"])  # fmt: skip
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    write(
        f"training_{device.type}",
        f"{asked.steps:,} steps of ResNet-9 at batch 512",
        ["precision", "determinism", "matrix product, TFLOP/s", "training, TFLOP/s", "share"],
        rows,
        f"Device: {name}; matrices of {asked.side} x {asked.side}.",
    )


if __name__ == "__main__":
    main()
