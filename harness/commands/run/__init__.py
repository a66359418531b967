"""``harness run``: computes what a spec needs and writes its report."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from harness.api import Experiment, load
from harness.commands.options import (
    DATA_ROOT,
    DEVICE,
    ONLY,
    REGISTRY,
    STORE,
    Place,
    changed_spec,
    registry_of,
    warn,
)
from harness.commands.plan import plan_text, summary
from harness.commands.run.outcome import RunRequest, run_spec
from harness.errors import IntegrityError, OverBudget, RemoteError, StageFailed
from harness.execute.environment import place_in_checkout
from harness.plan.recompute import asked_again
from harness.report.results import Results
from harness.spec.fit import unlikely
from harness.store.store import default_folder

FAILURES = {kind.exit_code: kind for kind in (OverBudget, IntegrityError, RemoteError)}


@click.command("run")
@changed_spec
@DEVICE
@click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    help="Stages computed at once.  [default: fits the model]",
)
@click.option(
    "--replicas",
    default="auto",
    metavar="auto|N",
    callback=lambda context, option, text: _replicas(text),
    help="Models that differ in their seed alone trained together, with the same results up to "
    "rounding; auto: as many as pay on a GPU, of a spec with 'deterministic: statistical'.",
)
@STORE
@DATA_ROOT
@click.option("--out", type=Place(), help="Report folder.  [default: results/ID/PROFILE]")
@ONLY
@click.option("--offline", is_flag=True, help="Never download anything.")
@REGISTRY
@click.option(
    "--recompute",
    multiple=True,
    metavar="WHAT=NAME",
    help="Compute again what method=ssd makes, or another component (metric=cost), kind=unlearn or "
    "key=0123abcd, and all that depends on it; repeatable. What it replaces goes when all is "
    "there; interrupted, the same command goes on.",
)
@click.option("--no-reuse", is_flag=True, help="Do not look for checkpoints on the Hub.")
@click.option("--dry-run", is_flag=True, help="Show the plan and stop.")
@click.option(
    "--keep-going/--fail-fast", default=True, help="After a failed stage, go on with the others."
)
@click.option("--json-log", type=Place(), help="Write events here, JSON lines.")
@click.option(
    "--log-dir",
    type=Place(file_okay=False),
    help="Write losses and metrics here for TensorBoard.",
)
@click.option(
    "--limit-hours",
    type=click.FloatRange(0, min_open=True),
    help="Stop after these hours, whatever the spec's budget says.",
)
@click.option(
    "--limit-memory-gb",
    type=click.FloatRange(0, min_open=True),
    help="Refuse each process more memory than that (Linux).",
)
def command(
    experiment: Experiment,
    registry: Path | None,
    only: tuple[str, ...],
    recompute: tuple[str, ...],
    dry_run: bool,
    no_reuse: bool,
    **how: Any,
) -> None:
    """Run SPEC, or go on with it, and write its report.

    Finished stages come from the store, then from the Hub as far as the registry lists them.
    Ctrl-C once stops cleanly; the same command goes on.
    """
    place = registry_of(experiment.file, registry)
    if dry_run:
        plan = experiment.plan(only)
        click.echo(plan_text(summary(plan, how["store"], place)))
        if recompute:
            click.echo(f"to be computed again: {len(asked_again(plan, recompute)):,} stages")
        return
    for notice in unlikely(experiment.spec):
        warn(notice)
    request = asked(
        experiment, only=only, recompute=recompute, registry=place, reuse=not no_reuse, **how
    )
    outcome = run_spec(request)
    click.echo(outcome.text)
    if outcome.exit_code:
        sys.exit(outcome.exit_code)


def run(
    experiment: Experiment | Path | str,
    *,
    store: Path | str | None = None,
    out: Path | str | None = None,
    device: str = "auto",
    jobs: int | None = None,
    data_root: Path | str | None = None,
    offline: bool = False,
    only: Sequence[str] = (),
    recompute: Sequence[str] = (),
    registry: Path | str | None = None,
    reuse: bool = True,
    keep_going: bool = True,
    json_log: Path | str | None = None,
    limit_hours: float | None = None,
    limit_memory_gb: float | None = None,
    log_dir: Path | str | None = None,
    replicas: int | None = None,
) -> Results:
    """Run a spec, or go on with it, write its report and return its results.

    ``experiment`` is what ``harness.load`` gives, or the file of a spec; the rest is as for the
    command. Unless ``jobs`` is 1 there may be worker processes, which import the script that calls
    this: it has to call it below ``if __name__ == "__main__":``.

    Raises:
        StageFailed: a stage raised; what does not depend on it is in the report.
        OverBudget, Interrupted: stopped early; what is finished is in the store.
        IntegrityError, RemoteError: what a stage needs is damaged or cannot be reached.
    """
    if not isinstance(experiment, Experiment):
        experiment = load(experiment)
    request = asked(
        experiment,
        only=only,
        recompute=recompute,
        store=Path(store or default_folder()),
        out=_path(out),
        device=device,
        jobs=jobs,
        data_root=_path(data_root or os.environ.get("HARNESS_DATA")),
        offline=offline,
        registry=registry_of(experiment.file, _path(registry)),
        reuse=reuse,
        keep_going=keep_going,
        json_log=_path(json_log),
        log_dir=_path(log_dir),
        limit_hours=limit_hours,
        limit_memory_gb=limit_memory_gb,
        replicas=replicas,
    )
    outcome = run_spec(request)
    if outcome.exit_code:
        raise FAILURES.get(outcome.exit_code, StageFailed)(outcome.text)
    return outcome.results


def asked(
    experiment: Experiment,
    *,
    only: Sequence[str],
    recompute: Sequence[str],
    out: Path | None,
    device: str,
    replicas: int | None,
    **how: Any,
) -> RunRequest:
    """The request that the command line and Python share."""
    plan = experiment.plan(only)
    return RunRequest(
        plan=plan,
        recompute=asked_again(plan, recompute),
        profile=experiment.profile,
        changes=experiment.changes,
        origins=experiment.origins,
        spec_file=experiment.file,
        command=command_text(experiment, only, device, replicas),
        device=device,
        replicas=replicas,
        out=out or experiment.folder,
        **how,
    )


def _replicas(text: str) -> int | None:
    """None for ``auto``."""
    if text != "auto" and not (text.isdecimal() and int(text)):
        raise click.BadParameter(f"{text!r} is neither 'auto' nor a number from 1 on")
    return None if text == "auto" else int(text)


def _path(place: Path | str | None) -> Path | None:
    return None if place is None else Path(place)


def command_text(
    experiment: Experiment, only: Sequence[str], device: str, replicas: int | None
) -> str:
    """The command that computes the same on another machine, wherever its files lie there."""
    profile = [] if experiment.profile is None else [experiment.profile.replace("+", ",")]
    options = {
        "--profile": profile,
        "--set": experiment.changes,
        "--only": only,
        "--device": [] if device == "auto" else [device],
        "--replicas": [] if replicas is None else [str(replicas)],
    }
    pairs = [part for name, values in options.items() for v in values for part in (name, v)]
    return shlex.join(["harness", "run", place_in_checkout(experiment.file), *pairs])
