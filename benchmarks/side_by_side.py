"""Times two or more callables in turns and writes a small table."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

from tabulate import tabulate

from harness.execute.environment import cpu_count, cpu_model, versions

RESULTS = Path(__file__).parent / "results"


def interleaved(runs: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each run, one after the other ``repeats`` times, after a warm-up of each."""
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats):
        order = list(runs.items())
        for name, run in order if turn % 2 == 0 else reversed(order):
            begun = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begun)
    return seconds


def middle(seconds: list[float]) -> str:
    """Median and range."""
    return f"{median(seconds):.3f} s ({min(seconds):.3f} to {max(seconds):.3f})"


def write(
    name: str, title: str, headers: list[str], rows: list[list[object]], note: str = ""
) -> None:
    """Print the table and keep it in ``results/NAME.md`` with the machine it was measured on."""
    table = tabulate(rows, headers=headers, tablefmt="github")
    machine = f"{cpu_model()}, {cpu_count()} processors, {platform.system()}; " + ", ".join(
        f"{package} {v}" for package, v in versions().items() if package in ("python", "torch")
    )
    text = f"# {title}\n\n{table}\n\n{note}{' ' if note else ''}Measured on: {machine}.\n"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    print(text)
