"""How long commands take to answer, a cached run among them: python benchmarks/commands.py"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from side_by_side import interleaved, middle, write

ROOT = Path(__file__).parents[1]
QUICKSTART = str(ROOT / "specs" / "quickstart.yaml")
COMMANDS = {
    "harness --help": ["--help"],
    "harness validate": ["validate", QUICKSTART],
    "harness describe ssd": ["describe", "ssd"],
    "harness plan, everything cached": ["plan", QUICKSTART],
    "harness plan, nothing cached (imports torch, counts FLOPs)": [
        "plan",
        QUICKSTART,
        "--store",
        "empty",
    ],
    "harness run, everything cached": ["run", QUICKSTART],
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        variables = {**os.environ, "HARNESS_STORE": f"{folder}/store", "PYTHONPATH": str(ROOT)}

        def call(arguments: list[str]) -> None:
            command = [sys.executable, "-m", "harness.cli", *arguments]
            subprocess.run(command, cwd=folder, env=variables, check=True, capture_output=True)

        runs = {name: (lambda a=a: call(a)) for name, a in COMMANDS.items()}
        seconds = interleaved(runs, repeats=7)
    bare = {"python -c pass": lambda: subprocess.run([sys.executable, "-c", ""], check=True)}
    seconds = {**interleaved(bare, repeats=7), **seconds}
    rows: list[list[object]] = [[name, middle(found)] for name, found in seconds.items()]
    write("commands", "Time until a command has answered", ["command", "median of 7 (range)"], rows)


if __name__ == "__main__":
    main()
