"""``harness diff``: what a change of a spec means for its stages, cost, claims and tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from harness.commands.options import Place
from harness.commands.plan import readable
from harness.plan.cost import flops_of
from harness.plan.kinds import kinds
from harness.plan.plan import Plan
from harness.plan.protocol import compile_plan
from harness.plan.stage import Stage
from harness.report.numbers import NOTHING
from harness.report.tables import Table, as_text
from harness.spec.blocks import Spec
from harness.spec.changes import ABSENT, Change, changes, claims_changed
from harness.spec.claims import Claim, statement
from harness.spec.load import load_spec
from harness.spec.seeds import in_words
from harness.spec.structure import unstructure

LONGEST = 120  # characters of a value that are shown


@click.command("diff")
@click.argument("old", type=Place())
@click.argument("new", type=Place())
@click.option("--profile", metavar="NAME", help="Compare with this profile applied to both.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown"]),
    default="text",
    show_default=True,
    help="How it is printed.",
)
def command(old: Path, new: Path, profile: str | None, form: str) -> None:
    """Say what changed from the spec OLD to NEW, and what has to be computed again."""
    click.echo(compare(load_spec(old, profile), load_spec(new, profile), form))


def compare(old: Spec, new: Spec, form: str) -> str:
    """The difference between two specs, as ``text`` or ``markdown``."""
    before, after = compile_plan(old), compile_plan(new)
    found = changes(old, new)
    claims = claims_changed(old, new)
    counted = [change for change in found if change.changes_stages]
    others = [change for change in found if not change.changes_stages]
    tables = {
        "Values that stages are computed from": _values(counted),
        "Texts, choices and limits: they change no stage": _values(others),
        "Claims: they change no stage": _claims(claims),
        "Stages": _stages(before, after),
    }
    marks = "## " if form == "markdown" else ""
    parts = [f"{marks}{old.id} {old.version} → {new.id} {new.version}"]
    parts += [_meaning(before, after, changed=bool(found or claims)), _facts(before, after, form)]
    for title, (headers, rows) in tables.items():
        if rows:
            parts += [f"{marks and '#'}{marks}{title}", _shown((headers, rows), form)]
    return "\n\n".join(parts)


def _shown(table: Table, form: str) -> str:
    if form == "markdown":
        return as_text(table, "github")
    headers, rows = table
    return str(tabulate(rows, headers=headers, disable_numparse=True))


def _meaning(before: Plan, after: Plan, changed: bool) -> str:
    if not changed:
        return "Both say the same."
    new = len(after.stages.keys() - before.stages.keys())
    if not new:
        return "Nothing has to be computed again: every stage that is needed keeps its key."
    return f"{new:,} of {len(after.stages):,} stages are new and have to be computed."


def _facts(before: Plan, after: Plan, form: str) -> str:
    plans = (before, after)
    rows = [
        ["points of the tables", *(f"{plan.points:,}" for plan in plans)],
        ["seeds", *(in_words(plan.spec.seeds) for plan in plans)],
        ["data set", *(_value(_dataset(plan.spec)) for plan in plans)],
        ["methods", *_names(plans, lambda spec: [method.label for method in spec.methods])],
        ["metrics", *_names(plans, lambda spec: [use.name for use in spec.metrics])],
    ]
    return _shown((["", "before", "after"], rows), form)


def _dataset(spec: Spec) -> Any:
    return unstructure(spec)["data"]["dataset"]


def _names(plans: Iterable[Plan], names: Callable[[Spec], list[str]]) -> list[str]:
    """How many, and after the change which came and went."""
    old, new = (names(plan.spec) for plan in plans)
    came = [f"added {name}" for name in new if name not in old]
    went = [f"removed {name}" for name in old if name not in new]
    return [str(len(old)), ": ".join(filter(None, [str(len(new)), ", ".join([*came, *went])]))]


def _values(found: Iterable[Change]) -> Table:
    rows = [[".".join(c.path), _value(c.old), _value(c.new)] for c in found]
    return ["value", "before", "after"], rows


def _value(value: Any) -> str:
    if value is ABSENT:
        return NOTHING
    if isinstance(value, Mapping):
        value = {key: inner for key, inner in value.items() if inner is not None}
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _claims(found: Iterable[tuple[str, Claim]]) -> Table:
    rows = [[how, statement(claim), claim.where] for how, claim in found]
    return ["change", "claim, as it is now", "where"], rows


def _stages(before: Plan, after: Plan) -> Table:
    old, new = before.stages, after.stages
    rows = []
    for kind in (*kinds(), "all"):
        was, now = ([s for s in side.values() if kind in ("all", s.kind)] for side in (old, new))
        if not was and not now:
            continue
        fresh = [stage for stage in now if stage.key not in old]
        gone = [stage for stage in was if stage.key not in new]
        counts = (len(was), len(now), len(now) - len(fresh), len(fresh), len(gone))
        rows.append([kind, *map(str, counts), *map(_flops, (was, now, fresh))])
    headers = ["kind", "before", "after", "keep their key", "to compute", "no longer needed"]
    return [*headers, "FLOP before", "FLOP after", "FLOP to compute"], rows


def _flops(stages: Iterable[Stage]) -> str:
    return readable(sum(map(flops_of, stages)))
