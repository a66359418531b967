"""The challenge's score: time of an example, and of a whole score: python benchmarks/forgetting.py

Times are of the processor, on one core, so that what else a machine does counts little.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from side_by_side import middle, write

EXAMPLES, CLASSES = 50, 10
WHOLE = ((512, 500), (512, 5_000))


def example(models: int) -> list[float]:
    """Processor seconds of one example, five times."""
    import numpy as np

    from harness.metrics.forgetting import epsilon

    draw = np.random.default_rng(0)
    sides = draw.normal(3, 1, (2, EXAMPLES, models))
    epsilon(*sides[:, 0])
    found = []
    for _ in range(5):
        begun = time.process_time()
        for pair in zip(*sides, strict=True):
            epsilon(*pair)
        found.append((time.process_time() - begun) / EXAMPLES)
    return found


class Drawn:
    """Populations of random logits, made model by model as files would be read."""

    def __init__(self, models: int, samples: int) -> None:
        self.models, self.samples = models, {"forget": samples, "retain": 1000, "test": 1000}

    def each(self, split: str, name: str) -> Iterator[object]:
        draws = self.generator(f"{split} {name}")
        import torch

        for _ in range(self.models):
            logits = torch.randn(self.samples[split], CLASSES, generator=draws)
            logits[:, 0] += 5
            yield logits

    def targets(self, split: str) -> object:
        import torch

        return torch.zeros(self.samples[split], dtype=torch.int64)

    def generator(self, purpose: str) -> object:
        import torch

        return torch.Generator().manual_seed(len(purpose))


def child(models: int, samples: int) -> None:
    """Prints the processor and wall seconds of a whole score with its interval, and peak MiB."""
    from harness.components import get

    metric = get("metrics", "forgetting_quality")
    cpu, wall = time.process_time(), time.perf_counter()
    metric.function(Drawn(models, samples), metric.settings())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(time.process_time() - cpu, time.perf_counter() - wall, memory)


def main() -> None:
    rows: list[list[object]] = [
        [f"one example, {models} models a side", middle(example(models)), "", ""]
        for models in (16, 128, 512)
    ]
    for models, samples in WHOLE:
        done = subprocess.run(
            [sys.executable, Path(__file__), str(models), str(samples)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        cpu, wall, memory = map(float, done.stdout.split())
        name = f"whole score with its interval, {models} models a side, {samples:,} examples"
        rows.append([name, f"{cpu:.1f} s", f"{wall:.1f} s", f"{memory:.0f} MiB"])
    write(
        "forgetting",
        "The challenge's score",
        ["what", "processor time", "on the wall", "peak memory"],
        rows,
        "One core. The time on the wall is longer where other programs share it.",
    )


if __name__ == "__main__":
    child(int(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) == 3 else main()
