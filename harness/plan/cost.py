"""What a plan costs before it runs: FLOPs counted on the meta device, and what is cached."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from attrs import frozen
from tabulate import tabulate

from harness.components import get
from harness.components.contracts import Encoding
from harness.errors import OverBudget
from harness.lazy import torch
from harness.plan.plan import Plan
from harness.plan.stage import KINDS, Cell, Stage
from harness.spec.blocks import Use
from harness.spec.fit import facts_of
from harness.store import Store
from harness.store.registry import read_registry
from harness.training.threads import threads_for


def architecture(model: Use) -> Use:
    """``model`` without weights from elsewhere, for what only needs its shape."""
    same = get("models", model.name).traits.architecture(model.settings)
    return Use(model.kind, model.name, same)


@lru_cache(maxsize=256)
def flops_per_sample(model: Use, encoding: Encoding, classes: int) -> int:
    """Floating-point operations of one forward pass of one sample, multiply and add apart."""
    from torch.utils.flop_counter import FlopCounterMode

    settings = architecture(model).settings
    with torch.device("meta"):
        built = get("models", model.name).function(settings, encoding, classes).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            built(encoding.example())
    return int(counter.get_total_flops())


@frozen
class Samples:
    """Samples that a stage passes forward and backward; a backward pass costs two forward ones."""

    forward: float = 0
    backward: float = 0

    @property
    def work(self) -> float:
        """Forward equivalents."""
        return self.forward + 2 * self.backward


@frozen
class Sizes:
    """Numbers of samples that estimates need."""

    train: int
    retain: int
    forget: int
    validation: int
    corrupted: int
    test: int
    base_steps: int
    batch_size: int


def sizes_of(cell: Cell) -> Sizes:
    """The sizes of a cell's sets, from what the data set's component declares."""
    facts = facts_of(cell.data)
    total = facts.train or 0
    train = total - round(total * cell.data.validation)
    bad = get("corruptions", cell.corruption.name).traits.amount(cell.corruption.settings, train)
    size = get("forget_sets", cell.forget.name).traits.size
    forget = size(cell.forget.settings, train, bad, facts.classes)
    recipe = cell.train
    steps = recipe.steps or round((recipe.epochs or 0) * -(-train // recipe.batch_size))
    test = facts.test or 0
    steps += recipe.extra_step
    held = total - train
    return Sizes(train, train - forget, forget, held, bad, test, steps, recipe.batch_size)


def split_size(split: str, sizes: Sizes) -> int:
    """Samples of a split that metrics read: ``test_triggered`` are as many as ``test``."""
    name = split.partition("_")[0]
    return int(getattr(sizes, "corrupted" if name == "shuffled" else name))


def samples_of(stage: Stage) -> Samples:
    """An estimate of the samples that ``stage`` processes."""
    sizes = sizes_of(stage.cell)
    trained = min(sizes.base_steps * sizes.batch_size, 10**15)
    match stage.kind:
        case "train":
            return Samples(trained, trained)
        case "prepare":
            count = getattr(sizes, stage.subset)
            work = get("preparations", stage.uses[0].name).traits.work
            return Samples(*work(stage.uses[0].settings, count))
        case "unlearn":
            estimate = get("methods", stage.uses[0].name).traits.work
            return Samples(*estimate(stage.uses[0].settings, sizes))
        case "evaluate":
            return Samples(sum(split_size(split, sizes) for split in splits_read(stage)))
    return Samples()


def splits_read(stage: Stage) -> set[str]:
    """The splits that an ``evaluate`` stage runs the unlearned model on.

    What it needs of the original model is computed once for all models that come from it.
    """
    reads = ((get("metrics", use.name).traits.reads, use.settings) for use in stage.uses)
    return {split for read, settings in reads if read for split in read(settings)}


def flops_of(stage: Stage) -> float:
    """An estimate of the floating-point operations of ``stage``."""
    return samples_of(stage).work * _per_sample(stage.cell)


def threads_of(cell: Cell) -> int:
    """The threads that a stage of ``cell`` is computed with on this machine."""
    return threads_for(3 * _per_sample(cell) * cell.train.batch_size)


def _per_sample(cell: Cell) -> int:
    facts = facts_of(cell.data)
    return flops_per_sample(cell.model, facts.encoding, facts.classes)


def total_flops(plan: Plan, store: Store) -> float:
    """What is left to compute of ``plan``."""
    return sum(flops_of(s) for s in plan.stages.values() if not _cached(s, store))


def refuse_over(exaflop: float, plan: Plan, store: Store, advice: str) -> None:
    """Raise OverBudget when more than ``exaflop`` is left to compute of ``plan``."""
    flops = total_flops(plan, store)
    if flops > exaflop * 1e18:
        raise OverBudget(
            f"the plan needs about {flops / 1e18:.3g} EFLOP, the budget is {exaflop:g}; "
            f"nothing ran. {advice}"
        )


def _cached(stage: Stage, store: Store) -> bool:
    return bool(store.has(stage.kind, stage.key))


def summary(plan: Plan, store_folder: Path, registry: Path | None) -> dict[str, Any]:
    """Stages by kind, what is cached or can be fetched, and the estimated cost of the rest."""
    store = Store(store_folder)
    entries = read_registry(registry) if registry is not None else {}
    fetchable = 0
    kinds: dict[str, dict[str, float]] = {}
    cached: Counter[str] = Counter()
    learning = 0
    for stage in plan.stages.values():
        learning += samples_of(stage).backward > 0
        row = kinds.setdefault(stage.kind, {"stages": 0, "cached": 0, "flops_left": 0.0})
        row["stages"] += 1
        if _cached(stage, store):
            cached[stage.kind] += 1
            row["cached"] += 1
        else:
            row["flops_left"] += flops_of(stage)
            fetchable += stage.key in entries and entries[stage.key].kind == stage.kind
    budget = plan.spec.budget
    return {
        "spec": plan.spec.id,
        "version": plan.spec.version,
        "points": plan.points,
        "stages": len(plan.stages),
        "learning": learning,
        "cached": sum(cached.values()),
        "fetchable": fetchable,
        "kinds": {kind: kinds[kind] for kind in KINDS if kind in kinds},
        "flops_left": sum(row["flops_left"] for row in kinds.values()),
        "budget": {"exaflop": budget.exaflop, "gpu_hours": budget.gpu_hours,
                   "cpu_hours": budget.cpu_hours},
    }  # fmt: skip


def plan_json(plan: Plan, store_folder: Path, registry: Path | None) -> str:
    """The plan for machines: the summary and every stage."""
    stages = [
        {
            "kind": stage.kind,
            "key": stage.key,
            "uses": [use.name for use in stage.uses],
            "seed": stage.cell.seed,
            "cell": dict(stage.cell.point),
            "inputs": dict(stage.inputs),
        }
        for stage in plan.stages.values()
    ]
    return json.dumps({**summary(plan, store_folder, registry), "graph": stages}, indent=1)


def plan_text(plan: Plan, store_folder: Path, registry: Path | None) -> str:
    """The plan for people."""
    facts = summary(plan, store_folder, registry)
    rows = [
        [kind, row["stages"], row["cached"], readable(row["flops_left"])]
        for kind, row in facts["kinds"].items()
    ]
    rows.append(["all", facts["stages"], facts["cached"], readable(facts["flops_left"])])
    table = tabulate(rows, headers=["kind", "stages", "cached", "FLOP left"], tablefmt="simple")
    points = (
        f"{facts['points']:,} points of the tables need {facts['stages']:,} unique stages, "
        f"of which {facts['learning']:,} train or take gradients."
    )
    text = f"{facts['spec']} {facts['version']}: {points}\n\n{table}\n\n{_budget(facts)}"
    if facts["fetchable"]:
        text += f"\nregistry: {facts['fetchable']:,} stages that are not cached lie on the Hub"
    return text


def _budget(facts: Mapping[str, Any]) -> str:
    limits = [f"{name} {limit}" for name, limit in facts["budget"].items() if limit is not None]
    return f"budget: {', '.join(limits)}" if limits else "budget: none declared"


def readable(count: float) -> str:
    """``1.20 P``: a number of operations with the prefix of its size."""
    for unit, size in (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count:.0f}"
