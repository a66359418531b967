"""What only a GPU can show: make gpu DATA=FOLDER, where FOLDER holds cifar10

1. Checks, into benchmarks/results/gpu-DEVICE.md and .json. Each part is written as soon as it is
   measured, and is not measured again for the same device, torch and code.
2. The profile ``gpu`` of specs/potion/cifar10.yaml, into results/potion-cifar10/gpu: first without
   retraining, which is most of the cost and decides nothing, then with it.

Cut off at any moment, the same command goes on: finished parts and stages are kept, stages that
were cut off too. ``DEVICE=cpu`` carries out a tiny form of everything: digits for the checks, and
CIFAR-10's 400 first images where DATA is given. ``INTO=FOLDER`` writes the results below FOLDER.

Never seen on a GPU so far: all of it, this file and gpu_checks.py. Only the tiny form has been run.
That the whole takes less than 25 minutes of one H100 is an estimate from the plan: 48 PFLOP, of
which retraining is 28.6. On a machine without a network, install the project's packages first.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from gpu_checks import PARTS, Case
from tabulate import tabulate

from harness.components import get
from harness.data.types import DataRoot
from harness.errors import HarnessError
from harness.execute.environment import git_state, machine, versions
from harness.spec.load import load_spec
from harness.training.threads import set_determinism

ROOT = Path(__file__).parents[1]
POTION = ROOT / "specs" / "potion" / "cifar10.yaml"
DECISIVE = ("none", "ssd", "ssd-64", "ssd-held-out", "ssd-held-out-64", "xlf", "xlf-64",
            "ptn-xlf", "ptn-xlf-64")  # fmt: skip
TINY = (
    "seeds=[0]", "data.train_samples=400", "data.test_samples=100", "data.validation=0.1",
    "model.width=4", "train.steps=10", "train.batch_size=64", "train.precision=fp32",
    "corruption.count={sweep: [30]}", "forget.discovered={sweep: [0.5]}", "weights={}",
    "claims=[]", "figures=[]",
    *(f"methods.{m}.{s}=10" for m in DECISIVE if m[:3] == "ssd"
      for s in ("alpha", "dampening_over_alpha")),
)  # fmt: skip


def identity(device: torch.device, form: str) -> dict[str, Any]:
    """What measurements depend on: they stand while it stays the same."""
    code = hashlib.sha256()
    for file in sorted([*(ROOT / "harness").rglob("*.py"), *Path(__file__).parent.glob("*.py")]):
        code.update(file.read_bytes())
    found = {k: v for k, v in versions().items() if k in ("python", "torch")}
    return {"form": form, "code": code.hexdigest()[:16], **machine((str(device),)), **found}


def checks(case: Case, form: str, folder: Path) -> bool:
    """Measure the parts that ``folder`` lacks. Returns whether none failed."""
    on = identity(case.device, form)
    name = on.get("gpu", ["cpu"])[0]
    file = folder / f"gpu-{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}.json"
    kept = json.loads(file.read_text()) if file.is_file() else {}
    parts, failed = kept["parts"] if kept.get("on") == on else {}, []
    for measure in PARTS:
        if measure.__name__ in parts:
            continue
        print(f"{measure.__name__} ...", flush=True)
        begun = time.perf_counter()
        try:
            table = attrs.asdict(measure(case))
        except Exception as problem:  # one part that a device cannot do must not cost the others
            print(f"{measure.__name__} failed: {type(problem).__name__}: {problem}", flush=True)
            failed.append(measure.__name__)
            continue
        parts[measure.__name__] = {**table, "seconds": round(time.perf_counter() - begun, 1)}
        found = {"on": on, "git": git_state(ROOT), "parts": parts}
        put(file, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        put(file.with_suffix(".md"), shown(name, on, parts.values()))
        print(tabulate(table["rows"], headers=table["headers"], tablefmt="github"), flush=True)
    print(f"{file.with_suffix('.md')} lacks {', '.join(failed) or 'nothing'}", flush=True)
    return not failed


def put(file: Path, text: str) -> None:
    """Write ``file`` whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(file)


def shown(name: str, on: dict[str, Any], parts: Iterable[dict[str, Any]]) -> str:
    blocks = [f"# Checks on {name}"]
    for part in parts:
        table = tabulate(part["rows"], headers=part["headers"], tablefmt="github",
                         disable_numparse=True)  # fmt: skip
        blocks += [f"## {part['title']}", table, *([part["note"]] if part["note"] else [])]
    facts = ", ".join(f"{key} {on[key]}" for key in ("python", "torch", "cuda", "cudnn", "driver")
                      if key in on)  # fmt: skip
    recipe = "ResNet-9 on CIFAR-10" if on["form"] == "whole" else "a small CNN on digits: tiny form"
    blocks.append(f"Measured: {recipe}; {on['cpu']}, {on['cpus']} processors; {facts}.")
    return "\n\n".join(blocks) + "\n"


def cells(device: str, data: Path, store: Path, out: Path) -> int:
    """Run the profile ``gpu``, without retraining and then with it. Returns the exit code."""
    command = [sys.executable, "-m", "harness.cli", "run", str(POTION), "--profile", "gpu",
               "--device", device, "--data-root", str(data), "--offline",
               "--jobs", "1", "--store", str(store), "--out", str(out)]  # fmt: skip
    if device == "cpu":
        command += [word for change in TINY for word in ("--set", change)]
    first = [f"--only=method={label}" for label in DECISIVE]
    return next((c for c in (subprocess.call([*command, *o]) for o in (first, [])) if c), 0)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder that holds cifar10")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--into", type=Path, help="folder below which results are written")
    asked = parser.parse_args(words)
    device, tiny = torch.device(asked.device), asked.device == "cpu"
    if not tiny and not torch.cuda.is_available():
        print("torch finds no GPU here; DEVICE=cpu carries out a tiny form of everything")
        return 2
    if not tiny and asked.data is None:
        print("say where CIFAR-10 is: make gpu DATA=FOLDER, which holds the folder cifar10")
        return 2
    into = (asked.into or (ROOT / "runs" / "gpu-tiny" if tiny else ROOT)).resolve()
    work = into if tiny else ROOT / "runs" / "gpu"
    spec = load_spec(ROOT / "specs" / "quickstart.yaml" if tiny else POTION)
    root = DataRoot(asked.data, offline=True, cache=work / "data")
    try:
        data = get("datasets", spec.data.dataset.name).function(spec.data.dataset.settings, root)
    except HarnessError as problem:
        print(problem)
        return 2
    sizes = (3, 2, 1, 64) if tiny else (200, 5, 3, 8192)
    if tiny:
        spec = attrs.evolve(spec, train=attrs.evolve(spec.train, batch_size=16))
    set_determinism(True)  # before the first product, which fixes cuBLAS's workspace
    case = Case(spec, data, device, *sizes)
    whole = checks(case, "tiny" if tiny else "whole", into / "benchmarks" / "results")
    if asked.data is None:
        print("no DATA: the cells of the profile gpu are left out")
        return 0 if whole else 1
    out = into / "results" / "potion-cifar10" / "gpu"
    code = cells(asked.device, asked.data.resolve(), work / "store", out)
    return code or (0 if whole else 1)


if __name__ == "__main__":
    sys.exit(main())
