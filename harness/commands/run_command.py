"""``harness run``: computes what a spec needs and writes its report."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from harness.api import Experiment
from harness.commands.options import (
    DATA_ROOT,
    DEVICE,
    ONLY,
    REGISTRY,
    STORE,
    changed_spec,
    registry_of,
)
from harness.commands.plan import plan_text
from harness.commands.run import RunRequest, run_spec


@click.command("run")
@changed_spec
@DEVICE
@click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    help="Stages computed at once.  [default: fits the model]",
)
@STORE
@DATA_ROOT
@click.option(
    "--out", type=click.Path(path_type=Path), help="Report folder.  [default: results/ID/PROFILE]"
)
@ONLY
@click.option("--offline", is_flag=True, help="Never download anything.")
@REGISTRY
@click.option("--no-reuse", is_flag=True, help="Do not look for checkpoints on the Hub.")
@click.option("--dry-run", is_flag=True, help="Show the plan and stop.")
@click.option(
    "--keep-going/--fail-fast", default=True, help="After a failed stage, go on with the others."
)
@click.option("--json-log", type=click.Path(path_type=Path), help="Write events here, JSON lines.")
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
    dry_run: bool,
    no_reuse: bool,
    out: Path | None,
    **how: Any,
) -> None:
    """Run SPEC, or go on with it, and write its report.

    Finished stages come from the store, then from the Hub as far as the registry lists them.
    Ctrl-C once stops cleanly; the same command goes on.
    """
    plan = experiment.plan(only)
    place = registry_of(experiment.file, registry)
    if dry_run:
        click.echo(plan_text(plan, how["store"], place))
        return
    request = RunRequest(
        plan=plan,
        profile=experiment.profile,
        changes=experiment.changes,
        origins=experiment.origins,
        spec_file=experiment.file,
        command=command_text(sys.argv[1:]),
        out=out or experiment.folder,
        registry=place,
        reuse=not no_reuse,
        **how,
    )
    outcome = run_spec(request)
    click.echo(outcome.text)
    if outcome.exit_code:
        sys.exit(outcome.exit_code)


def command_text(arguments: list[str]) -> str:
    """The command for the report, without where on this machine its files lie."""
    return shlex.join(["harness", *(Path(a).name if os.path.isabs(a) else a for a in arguments)])
