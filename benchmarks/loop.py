"""Our training loop against a plain hand-written one: python benchmarks/loop.py

Same model, data, batches, optimiser and schedule; time in turns, peak memory in processes apart.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch.nn import functional as F

from harness.components import NoSettings, get
from harness.data.encodings import Images
from harness.data.pool import Pool
from harness.data.types import DataRoot, Split
from harness.spec.blocks import Train
from harness.spec.structure import structure_block, structure_use
from harness.training.loop import fit
from harness.training.seeding import generator, seeded_build
from side_by_side import interleaved, middle, write

QUICKSTART = str(Path(__file__).parents[1] / "specs" / "quickstart.yaml")
COLOUR = Images((3, 32, 32), mean=(0.5,) * 3, std=(0.25,) * 3)
Case = tuple[Callable[[], torch.nn.Module], Pool, int, int, int]


def digits() -> Case:
    data = get("datasets", "digits").function(NoSettings(), DataRoot(None, offline=True))
    pool = Pool(data.train, torch.arange(1437), encoding=data.encoding)
    return _model("small_cnn", data.encoding), pool, 460, 64, 1


def colour() -> Case:
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(256, (2048, 3, 32, 32), generator=draws).to(torch.uint8)
    split = Split(images, torch.randint(10, (2048,), generator=draws))
    crops = [structure_use("augmentations", n) for n in ("random_crop", "horizontal_flip")]
    pool = Pool(split, torch.arange(2048), encoding=COLOUR, augment=crops)
    return _model("resnet9", COLOUR, width=16), pool, 24, 128, 2


CASES = {"small CNN, digits": digits, "ResNet-9 (width 16), 32x32": colour}


def _model(name: str, encoding: Images, **settings: object) -> Callable[[], torch.nn.Module]:
    use = structure_use("models", {"name": name, **settings})
    build = get("models", name).function
    return lambda: seeded_build(lambda: build(use.settings, encoding, 10), "b")


def ours(case: Case) -> None:
    build, pool, steps, batch, _ = case
    plain = {"steps": steps, "batch_size": batch, "schedule": "cosine",
             "optimizer": {"name": "sgd", "lr": 0.05, "weight_decay": 5e-4}}  # fmt: skip
    fit(build(), pool, structure_block(Train, plain), generator=lambda p: generator("b", p))


def plain(case: Case) -> None:
    build, pool, steps, batch_size, _ = case
    model = build().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    draws, step = generator("b", "batches"), 0
    while step < steps:
        for batch in pool.epoch(batch_size, draws):
            loss = F.cross_entropy(model(batch.x), batch.y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            if step == steps:
                break


LOOPS = {"plain": plain, "ours": ours}


def peak_memory(*arguments: str) -> float:
    """Peak resident memory in MiB of a process that runs one loop, or a whole ``harness run``."""
    done = subprocess.run(
        [sys.executable, __file__, *arguments], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def whole_run() -> None:
    """``harness run`` of a spec that trains the digits case, in this process."""
    from harness.cli import harness

    with tempfile.TemporaryDirectory() as folder:
        options = ["--jobs", "1", "--store", f"{folder}/store", "--out", f"{folder}/out"]
        sets = ["methods=[none]", "metrics=[clean_accuracy]", "forget.discovered=1", "profiles={}"]
        changes = [word for change in sets for word in ("--set", change)]
        harness(["run", QUICKSTART, *options, "--seeds", "0", *changes], standalone_mode=False)


def main() -> None:
    rows: list[list[object]] = []
    for name, make in CASES.items():
        case = make()
        torch.set_num_threads(case[-1])
        runs = {which: (lambda loop=loop, case=case: loop(case)) for which, loop in LOOPS.items()}
        seconds = interleaved(runs, repeats=15)
        memory = {which: median(peak_memory(name, which) for _ in range(3)) for which in LOOPS}
        pairs = zip(seconds["ours"], seconds["plain"], strict=True)
        over = 100 * (median(ours / plain for ours, plain in pairs) - 1)
        shown = [middle(seconds["plain"]), middle(seconds["ours"]), f"{over:+.1f} %"]
        rows.append([name, case[2], *shown, *(f"{memory[m]:.0f} MiB" for m in LOOPS)])
    run = median(peak_memory("run") for _ in range(3))
    headers = ["case", "steps", "plain", "ours", "ours over plain", "memory plain", "memory ours"]
    note = (
        "Median of 15 turns each (range); over: median of the ratios of a turn; memory: peak of a "
        f"process. A whole `harness run` of the digits case peaks at {run:.0f} MiB."
    )
    write("loop", "Our training loop against a plain one", headers, rows, note)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        if sys.argv[1] == "run":
            whole_run()
        else:
            chosen = CASES[sys.argv[1]]()
            torch.set_num_threads(chosen[-1])
            LOOPS[sys.argv[2]](chosen)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
