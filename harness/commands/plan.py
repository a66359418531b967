"""``harness plan``: what a plan holds, what of it is there, and what the rest costs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from harness.api import Experiment
from harness.commands.options import ONLY, REGISTRY, STORE, changed_spec, registry_of, warn
from harness.components import get
from harness.execute.budget import refuse_over
from harness.execute.pace import duration
from harness.execute.reuse import to_compute
from harness.plan.cost import flops_of, samples_of
from harness.plan.kinds import kinds as kinds_of_stages
from harness.plan.plan import Plan
from harness.plan.stage import Stage
from harness.spec.fit import unlikely
from harness.store import Store
from harness.store.registry import Entry, read_registry


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
@click.option(
    "--calibrate/--no-calibrate",
    default=None,
    help="Measure this device for a second, for hours beside FLOPs.  [default: on a terminal]",
)
def command(
    experiment: Experiment,
    store: Path,
    registry: Path | None,
    only: tuple[str, ...],
    as_json: bool,
    limit_exaflop: float | None,
    calibrate: bool | None,
) -> None:
    """Show the stages of SPEC, what is cached or published, and what the rest costs.

    Runs nothing, and asks nobody: what is published is what the registry says.
    """
    plan = experiment.plan(only)
    facts = summary(plan, store, registry_of(experiment.file, registry))
    if as_json:
        click.echo(plan_json(plan, facts))
    else:
        click.echo(plan_text(facts))
        if sys.stdout.isatty() if calibrate is None else calibrate:
            click.echo(_hours(plan, facts["flops_left"]))
    if limit_exaflop is not None:
        refuse_over(limit_exaflop, facts["flops_left"], "Make the spec or its profile smaller")


def summary(plan: Plan, store_folder: Path, registry: Path | None) -> dict[str, Any]:
    """Stages by kind and work, what is cached or published, and the estimated cost of the rest."""
    store = Store(store_folder)
    entries: Mapping[str, Entry] = {}
    if registry is not None:
        entries = read_registry(registry, kinds_of_stages(), plan.spec.id, warn, plan.stages)
    left = to_compute(plan, store, entries)
    tried = {c.unlearn for g in plan.groups if len(g.candidates) > 1 for c in g.candidates}
    fetchable = 0
    kinds: dict[str, dict[str, float]] = {}
    work: dict[tuple[str, str], dict[str, float]] = {}
    learning = 0
    for stage in plan.stages.values():
        learning += samples_of(stage).backward > 0
        row = kinds.setdefault(stage.kind, {"stages": 0, "cached": 0, "flops_left": 0.0})
        part = work.setdefault(
            (stage.kind, _work(stage, tried)), {"stages": 0, "done": 0, "flops_left": 0.0}
        )
        cached = store.has(stage.kind, stage.key)
        flops = flops_of(stage) if stage.key in left else 0.0
        row["cached"] += cached
        part["done"] += stage.key not in left
        for counts in (row, part):
            counts["stages"] += 1
            counts["flops_left"] += flops
        entry = entries.get(stage.key)
        fetchable += not cached and entry is not None and entry.kind == stage.kind
    budget = plan.spec.budget
    ordered = [kind for kind in kinds_of_stages() if kind in kinds]
    return {
        "spec": plan.spec.id,
        "version": plan.spec.version,
        "points": plan.points,
        "stages": len(plan.stages),
        "learning": learning,
        "cached": int(sum(row["cached"] for row in kinds.values())),
        "fetchable": fetchable,
        "kinds": {kind: kinds[kind] for kind in ordered},
        "work": [
            {"kind": kind, "what": what, **counts}
            for (kind, what), counts in sorted(work.items(), key=lambda w: ordered.index(w[0][0]))
        ],
        "flops_left": sum(row["flops_left"] for row in kinds.values()),
        "notices": list(unlikely(plan.spec)),
        "budget": {"exaflop": budget.exaflop, "gpu_hours": budget.gpu_hours,
                   "cpu_hours": budget.cpu_hours},
    }  # fmt: skip


def _work(stage: Stage, tried: set[str]) -> str:
    """What the stages of a kind are for, where that says more than the kind."""
    if stage.kind != "unlearn":
        return {"train": "trainings", "prepare": "preparations"}.get(stage.kind, "")
    if get("methods", stage.uses[0].name).traits.starts == "scratch":
        return "retrainings"
    return "candidates of searches" if stage.key in tried else "without a search"


def _hours(plan: Plan, flops: float) -> str:
    from harness.execute.calibrate import flops_per_second
    from harness.execute.run import devices

    device = devices("auto")[0]
    rate = flops_per_second(next(iter(plan.stages.values())).cell, device)
    return (
        f"this device ({device}): about {duration(flops / rate)} for the rest, one stage after "
        f"another, at {readable(rate)}FLOP/s as measured in training steps just now"
    )


def plan_json(plan: Plan, facts: Mapping[str, Any]) -> str:
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
    return json.dumps({**facts, "graph": stages}, indent=1)


def plan_text(facts: Mapping[str, Any]) -> str:
    """The plan for people."""
    rows = [
        [row["kind"], row["what"], row["stages"], row["done"], readable(row["flops_left"])]
        for row in facts["work"]
    ]
    done = sum(row["done"] for row in facts["work"])
    rows.append(["all", "", facts["stages"], done, readable(facts["flops_left"])])
    headers = ["kind", "what", "stages", "done", "FLOP left"]
    table = tabulate(rows, headers=headers, tablefmt="simple")
    points = (
        f"{facts['points']:,} points of the tables need {facts['stages']:,} unique stages, "
        f"of which {facts['learning']:,} train or take gradients."
    )
    text = f"{facts['spec']} {facts['version']}: {points}\n\n{table}\n\n{_budget(facts)}"
    if facts["fetchable"]:
        text += f"\nregistry: {facts['fetchable']:,} stages that are not cached lie on the Hub"
    return "\n".join([text, *(f"notice: {notice}" for notice in facts["notices"])])


def _budget(facts: Mapping[str, Any]) -> str:
    limits = [f"{name} {limit}" for name, limit in facts["budget"].items() if limit is not None]
    return f"budget: {', '.join(limits)}" if limits else "budget: none declared"


def readable(count: float) -> str:
    """``1.20 P``: a number of operations with the prefix of its size."""
    for unit, size in (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count:.0f}"
