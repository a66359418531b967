"""Planning 100,000 stages, in seconds and memory: python benchmarks/planning.py"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

from side_by_side import middle, write

GRID = Path(__file__).parents[1] / "tests" / "plan" / "official_grid.yaml"
SIZES = {"official size (1,950 runs)": 1, "100,000 stages": 25}


def measure(seeds: int) -> tuple[float, float, int]:
    """Seconds, peak MiB and stages of planning the grid with that many seeds, in a new process."""
    done = subprocess.run(
        [sys.executable, __file__, str(seeds)], capture_output=True, text=True, check=True
    )
    seconds, memory, stages = done.stdout.split()
    return float(seconds), float(memory), int(stages)


def child(seeds: int) -> None:
    from harness.plan.protocol import compile_plan
    from harness.spec.load import load_spec

    begun = time.perf_counter()
    numbers = ",".join(map(str, range(seeds)))
    plan = compile_plan(load_spec(GRID, None, [f"seeds=[{numbers}]"]))
    seconds = time.perf_counter() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(seconds, memory, len(plan.stages))


def main() -> None:
    rows: list[list[object]] = []
    for name, seeds in SIZES.items():
        runs = [measure(seeds) for _ in range(5)]
        memory = max(m for _, m, _ in runs)
        rows.append([name, f"{runs[0][2]:,}", middle([s for s, _, _ in runs]), f"{memory:.0f} MiB"])
    write(
        "planning", "Reading and planning a grid", ["grid", "stages", "time", "peak memory"], rows
    )


if __name__ == "__main__":
    child(int(sys.argv[1])) if len(sys.argv) == 2 else main()
