"""``harness plan``: what a plan holds, what of it is there, and what the rest costs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from harness.api import Experiment
from harness.commands.options import ONLY, REGISTRY, STORE, changed_spec, registry_of
from harness.execute.budget import refuse_over
from harness.plan.cost import flops_of, samples_of
from harness.plan.kinds import kinds as kinds_of_stages
from harness.plan.kinds import publishable
from harness.plan.plan import Plan
from harness.spec.fit import unlikely
from harness.store import Store
from harness.store.registry import read_registry


@click.command("plan")
@changed_spec
@STORE
@REGISTRY
@ONLY
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@click.option(
    "--limit-exaflop",
    type=click.FloatRange(0, min_open=True),
    help="End with code 3 when the rest costs more, whatever the spec's budget says.",
)
def command(
    experiment: Experiment,
    store: Path,
    registry: Path | None,
    only: tuple[str, ...],
    as_json: bool,
    limit_exaflop: float | None,
) -> None:
    """Show the stages of SPEC, what is cached or published, and what the rest costs.

    Runs nothing, and asks nobody: what is published is what the registry says.
    """
    plan = experiment.plan(only)
    place = registry_of(experiment.file, registry)
    click.echo((plan_json if as_json else plan_text)(plan, store, place))
    if limit_exaflop is not None:
        refuse_over(limit_exaflop, plan, Store(store), "Make the spec or its profile smaller")


def summary(plan: Plan, store_folder: Path, registry: Path | None) -> dict[str, Any]:
    """Stages by kind, what is cached or can be fetched, and the estimated cost of the rest."""
    store = Store(store_folder)
    entries = read_registry(registry, publishable()) if registry is not None else {}
    fetchable = 0
    kinds: dict[str, dict[str, float]] = {}
    cached: Counter[str] = Counter()
    learning = 0
    for stage in plan.stages.values():
        learning += samples_of(stage).backward > 0
        row = kinds.setdefault(stage.kind, {"stages": 0, "cached": 0, "flops_left": 0.0})
        row["stages"] += 1
        if store.has(stage.kind, stage.key):
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
        "kinds": {kind: kinds[kind] for kind in kinds_of_stages() if kind in kinds},
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
    return "\n".join([text, *(f"notice: {notice}" for notice in unlikely(plan.spec))])


def _budget(facts: Mapping[str, Any]) -> str:
    limits = [f"{name} {limit}" for name, limit in facts["budget"].items() if limit is not None]
    return f"budget: {', '.join(limits)}" if limits else "budget: none declared"


def readable(count: float) -> str:
    """``1.20 P``: a number of operations with the prefix of its size."""
    for unit, size in (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count:.0f}"
