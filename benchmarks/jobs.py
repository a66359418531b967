"""Two trainings beside each other on two processors, two threads each: python benchmarks/jobs.py

ResNet-9 of width 16 at batch 64. Waiting threads spin as the OpenMP library has them by default, or
leave the processor to others, as workers of ``--jobs`` above 1 do.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from statistics import median

from side_by_side import write

BATCH, STEPS, TURNS = 64, 40, 3


def train(threads: int) -> None:
    """Print the seconds that the steps took."""
    import torch
    import torch.nn.functional as F

    from harness.components import get
    from harness.data.encodings import Images
    from harness.spec.structure import structure_use

    torch.set_num_threads(threads)
    use = structure_use("models", {"name": "resnet9", "width": 16})
    encoding = Images((3, 32, 32), (0.5,) * 3, (0.25,) * 3)
    model = get("models", use.name).function(use.settings, encoding, 10)
    model = model.to(memory_format=torch.channels_last)
    x = torch.randn(BATCH, 3, 32, 32).to(memory_format=torch.channels_last)
    y = torch.randint(10, (BATCH,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for step in range(STEPS + 3):
        if step == 3:
            begun = time.perf_counter()
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    print(time.perf_counter() - begun)


def images_a_second(at_once: int, threads: int, policy: str | None) -> float:
    """Of all trainings together."""
    environment = {**os.environ, **({"OMP_WAIT_POLICY": policy} if policy else {})}
    command = [sys.executable, __file__, str(threads)]
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(at_once)
    ]
    return sum(STEPS * BATCH / float(process.communicate()[0]) for process in running)


def main() -> None:
    cases = {
        "one training, spinning": (1, 2, None),
        "one training, passive": (1, 2, "PASSIVE"),
        "two trainings, spinning": (2, 2, None),
        "two trainings, passive": (2, 2, "PASSIVE"),
        "two trainings of one thread": (2, 1, None),
    }
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(TURNS):
        for name, case in cases.items():
            found[name].append(images_a_second(*case))
    rows: list[list[object]] = [
        [name, f"{median(speeds):,.0f}", f"{min(speeds):,.0f} to {max(speeds):,.0f}"]
        for name, speeds in found.items()
    ]
    write("jobs", "Trainings beside each other", ["case", "images a second", "range"], rows)


if __name__ == "__main__":
    train(int(sys.argv[1])) if len(sys.argv) > 1 else main()
