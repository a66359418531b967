"""The evaluation of one candidate, before and after: python benchmarks/evaluation.py DATA_ROOT

One cell of Potion's profile cpu with a base model of ten steps (a pass costs the same whatever was
learned): every metric with passes of its own, passes shared, and weights channels-last.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from harness.components import get
from harness.metrics.evidence import Evidence
from harness.plan.cost import threads_of
from harness.plan.protocol import compile_plan
from harness.plan.stage import Stage
from harness.spec.load import load_spec
from harness.stages.compute import compute
from harness.stages.evaluate import _costs
from harness.stages.options import Options
from harness.stages.splits import splits_of
from harness.stages.world import World
from side_by_side import interleaved, middle, write

SPEC = Path(__file__).parents[1] / "specs" / "potion" / "cifar10.yaml"
SMALL = (
    "seeds=[0]", "data.test_samples=2000", "train.steps=10", "corruption.count={sweep: [500]}",
    "forget.discovered={sweep: [0.5]}", "methods=[none]", "weights={}", "claims=[]", "figures=[]",
)  # fmt: skip


def candidate(store: Path, data: Path, layout: str) -> tuple[World, Stage]:
    """A store with one base model, and the stage that evaluates it."""
    changes = (*SMALL, f"train.memory_format={layout}")
    plan = compile_plan(load_spec(SPEC, "cpu", changes))
    options = Options(
        store=store, data_root=data, devices=("cpu",), jobs=1, offline=True, fail_fast=True,
        deterministic=True, cpu_hours=None, gpu_hours=None,
    )  # fmt: skip
    world = World(options)
    for stage in plan.stages.values():
        if stage.kind == "evaluate":
            return world, stage
        compute(stage, world, lambda done, total, loss: None, threading.Event())
    raise AssertionError("the plan evaluates nothing")


def measured(world: World, stage: Stage, apart: bool) -> None:
    """Every metric of the stage; ``apart``, each with outputs of its own."""
    torch.set_num_threads(threads_of(stage.cell))
    material, inputs = world.material(stage), dict(stage.inputs)

    def evidence() -> Evidence:
        return Evidence(
            models=lambda which: world.load_model(
                stage.cell, material.dataset, "unlearn" if which == "unlearned" else "train",
                inputs["unlearned" if which == "unlearned" else "base"],
            ),
            pools=splits_of(stage, world),
            classes=len(material.dataset.classes),
            target_class=material.target_class,
            costs=_costs(inputs, world),
            seed=stage.draws,
            facts=world.record("unlearn", inputs["unlearned"])["facts"],
            shared=lambda split, make: world.remember(("logits", split), make),
        )  # fmt: skip

    one = evidence()
    for use in stage.uses:
        get("metrics", use.name).function(evidence() if apart else one, use.settings)


def main() -> None:
    """Measure and write ``results/evaluation.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder that holds cifar10")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        old = candidate(Path(folder) / "old", given.data, "contiguous")
        new = candidate(Path(folder) / "new", given.data, "channels_last")
        runs: dict[str, Callable[[], object]] = {
            "each metric with passes of its own": lambda: measured(*old, apart=True),
            "passes shared between metrics": lambda: measured(*old, apart=False),
            "shared, weights channels-last": lambda: measured(*new, apart=False),
        }
        seconds = interleaved(runs, given.repeats)
    first = median(seconds["each metric with passes of its own"])
    write(
        "evaluation",
        "The evaluation of one candidate of Potion's profile cpu",
        ["way", f"median of {given.repeats} (range)", "times as fast as the first"],
        [[name, middle(s), f"{first / median(s):.1f}"] for name, s in seconds.items()],
        "ResNet-9 of width 16, 2,000 test images, 500 poisoned; what is needed of the base model "
        "is computed before the clock starts.",
    )


if __name__ == "__main__":
    main()
