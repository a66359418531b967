"""Potion's grid, the published pipeline's way and ours: python benchmarks/potion.py DATA_ROOT

Writes two tables: what the plans of both specs cost against the published pipeline's count
(protocol section 12), and the time of the SSD grid of one setting on real CIFAR-10 images.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.nn import functional as F

from harness.commands.run import RunRequest, run_spec
from harness.plan.cost import samples_of, sizes_of, split_size, threads_of
from harness.plan.plan import Plan
from harness.plan.protocol import compile_plan
from harness.plan.stage import Stage
from harness.spec.load import load_spec
from harness.stages.evaluate import splits_read
from harness.stages.options import Options
from harness.stages.world import World
from side_by_side import middle, write

SPECS = Path(__file__).parents[1] / "specs" / "potion"
SMALL = (
    "seeds=[0]", "data.train_samples=2000", "data.test_samples=400", "model.width=8",
    "train.steps=40", "train.batch_size=128", "train.precision=fp32",
    "corruption.count={sweep: [40]}", "forget.discovered={sweep: [0.5]}", "claims=[]", "figures=[]",
)  # fmt: skip
ALPHAS = (0.1, 1, 10, 50, 100, 500, 1000, 1e4, 1e5, 1e6)
OVER = (0.1, 0.5, 1, 5, 10)
BATCH = 512  # of the published importances and evaluations


def cost() -> None:
    """What both plans need, beside the published count."""
    plans = [
        compile_plan(load_spec(SPECS / f"{name}.yaml", None, ["seeds=[0]"]))
        for name in ("cifar10", "cifar100")
    ]

    def count(kind: str, *names: str, subset: str | None = None) -> int:
        found = (s for plan in plans for s in plan.stages.values() if s.kind == kind)
        named = (s for s in found if not names or s.uses[0].name in names)
        return sum(subset is None or s.detail["subset"] == subset for s in named)

    rows: list[list[object]] = [
        ["full trainings", 642, 72, count("train") + count("unlearn", "retrain")],
        ["importance pairs, SSD", 3000, 60, f"{count('prepare', 'fisher', subset='forget')}, "
         "11 shares, and the same ones for ASSD"],
        ["importance pairs, ASSD, LF, XLF", 1584, 198,
         count("prepare", "fisher", "sensitivity", subset="forget")],
        ["searches", 1584, 198, count("prepare", "trajectory")],
        ["SSD models", 3000, 2340, f"{count('unlearn', 'ssd')}, 11 shares"],
        ["evaluation forwards", "721 M", "120 M", f"{evaluation_forwards(plans) / 1e6:.1f} M"],
    ]  # fmt: skip
    write(
        "potion_cost",
        "Both Potion plans against the published pipeline",
        ["work", "published", "needed (protocol section 12)", "our plans, one seed"],
        rows,
        "Counted from the plans of `specs/potion/cifar10.yaml` and `cifar100.yaml`.",
    )


def evaluation_forwards(plans: list[Plan]) -> float:
    """Samples that unlearned models are evaluated on, and base models once for each split."""
    bases: dict[str, float] = {}
    total = 0.0
    for stage in (s for plan in plans for s in plan.stages.values() if s.kind == "evaluate"):
        total += samples_of(stage).forward
        sizes = sizes_of(stage.cell)
        read = splits_read(stage.uses) or ()
        bases[stage.input("base")] = sum(split_size(n, sizes) for n in read)
    return total + sum(bases.values())


def grid(data: Path, repeats: int) -> None:
    """The SSD grid of one setting: importances for each point, or once. Every way starts afresh."""
    plan, trained = _plans()
    stage = next(s for s in plan.stages.values() if s.kind == "unlearn" and s.uses[0].name == "ssd")
    points = [(alpha, over) for alpha in ALPHAS for over in OVER]
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        _run(trained, base, data)
        turn = iter(range(1000))

        def ours() -> None:
            store = Path(folder) / f"ours{next(turn)}"
            shutil.copytree(base, store)
            _apart(_run, plan, store, data)

        def published(groups: list[list[tuple[float, float]]], everything: bool) -> None:
            for group in groups:
                _apart(naive, stage, base, data, group, everything)

        runs: dict[str, Callable[[], None]] = {
            "published: a process for each of 50 points":
                lambda: published([[point] for point in points], everything=True),
            "the same points in one process": lambda: published([points], everything=True),
            "the same without evaluations of the training set":
                lambda: published([points], everything=False),
            "ours: importances once, 39 models": ours,
        }  # fmt: skip
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for turn_number in range(repeats):
            order = list(runs.items())
            for name, run in order if turn_number % 2 == 0 else reversed(order):
                begun = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - begun)
    mine = median(seconds["ours: importances once, 39 models"])
    rows: list[list[object]] = [
        [name, middle(found), f"{median(found) / mine:.1f}"] for name, found in seconds.items()
    ]
    write(
        "potion_ssd_grid",
        "The SSD grid of one setting, real CIFAR-10 images",
        ["way", f"median of {repeats} (range)", "times ours"],
        rows,
        "2,000 training and 400 test images, ResNet-9 of width 8 trained for 40 steps before "
        "the clock starts. The published way takes importances for each point and evaluates it on "
        "the clean and triggered test and training set. Every way includes the start of its "
        "processes and the reading of the data (decoded earlier); ours also the store, all "
        "metrics and the report without figures. All use as many threads.",
    )


def _plans() -> tuple[Plan, Plan]:
    """The SSD points of the one setting, and the base training that they start from."""
    spec = load_spec(SPECS / "cifar10.yaml", None, SMALL)
    plan = compile_plan(spec)

    def part(*labels: str) -> Plan:
        groups = [g for g in plan.groups if g.method.label in labels]
        keys = _closure(plan, groups)
        return Plan(spec, {k: s for k, s in plan.stages.items() if k in keys}, tuple(groups))

    return part("none", "ssd"), part("none")


def _apart(work: Callable[..., object], *given: object) -> None:
    """``work`` in a process of its own."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=given)
    process.start()
    process.join()
    assert process.exitcode == 0


def naive(
    stage: Stage, base: Path, data: Path, points: list[tuple[float, float]], everything: bool
) -> None:
    """Every point by itself, as the published scripts do it."""
    world = World(_options(base, data))
    cell, material = stage.cell, world.material(stage)
    torch.set_num_threads(threads_of(cell))
    retain = material.pool(material.retain, cell.data.augment)
    forget = material.pool(material.forget, cell.data.augment)
    test, train = material.dataset.test, material.dataset.train
    sets = [
        material.clean(test),
        material.triggered(test, torch.arange(len(test.targets))),
    ]
    if everything:
        rows = material.train_rows
        sets += [
            material.clean(train, rows),
            material.triggered(train, rows),
        ]
    for alpha, over in points:
        model = world.load_model(cell, material.dataset, "train", dict(stage.inputs)["base"])
        mine, other = (_importance(model, pool) for pool in (forget, retain))
        with torch.no_grad():
            for name, weight in model.named_parameters():
                chosen = mine[name] > alpha * other[name]
                factor = over * alpha * other[name] / mine[name]
                weight[chosen] *= factor[chosen].clamp(max=1)
        with torch.inference_mode():
            for pool in sets:
                right = [(model(b.x).argmax(1) == b.y).sum() for b in pool.ordered(BATCH)]
                int(torch.stack(right).sum())


def _importance(model: Any, pool: Any) -> dict[str, torch.Tensor]:
    names, weights = zip(*model.requires_grad_(True).named_parameters(), strict=True)
    totals = [torch.zeros_like(w) for w in weights]
    batches = list(pool.ordered(BATCH))
    for batch in batches:
        gradients = torch.autograd.grad(F.cross_entropy(model(batch.x), batch.y), weights)
        for total, gradient in zip(totals, gradients, strict=True):
            total.addcmul_(gradient, gradient)
    return {n: total / len(batches) for n, total in zip(names, totals, strict=True)}


def _closure(plan: Plan, groups: list[Any]) -> set[str]:
    todo = [c.evaluate for group in groups for c in group.candidates]
    found: set[str] = set()
    while todo:
        key = todo.pop()
        if key not in found:
            found.add(key)
            todo += [source for _, source in plan.stages[key].inputs]
    return found


def _options(store: Path, data: Path) -> Options:
    return Options(
        store=store, data_root=data, devices=("cpu",), jobs=1, offline=True, fail_fast=True,
        deterministic=True, cpu_hours=None, gpu_hours=None,
    )  # fmt: skip


def _run(plan: Plan, store: Path, data: Path) -> None:
    request = RunRequest(
        plan=plan, spec_file=SPECS / "cifar10.yaml", profile=None, changes=SMALL, command="",
        out=store.with_suffix(".out"), store=store, data_root=data, device="cpu", jobs=1,
        offline=True, keep_going=False, json_log=None, origins=(),
    )  # fmt: skip
    with contextlib.redirect_stderr(io.StringIO()):
        outcome = run_spec(request)
    assert outcome.exit_code == 0, outcome.text


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder that holds cifar10/")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    cost()
    grid(asked.data, asked.repeats)
