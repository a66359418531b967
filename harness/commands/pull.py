"""``harness pull``: fetches what is published for a spec, and runs nothing."""

from __future__ import annotations

from pathlib import Path

import click

from harness.api import Experiment
from harness.commands.options import ONLY, REGISTRY, STORE, changed_spec, needed_registry, warn
from harness.execute.reuse import pull
from harness.plan.kinds import kinds
from harness.store import Store
from harness.store.hub import Hub
from harness.store.registry import read_registry


@click.command("pull")
@changed_spec
@STORE
@REGISTRY
@ONLY
@click.option(
    "--keep-going", is_flag=True, help="After an error, fetch what else there is; fail at the end."
)
@click.option("--offline", is_flag=True, help="Only the Hub library's cache, no network.")
def command(
    experiment: Experiment,
    store: Path,
    registry: Path | None,
    only: tuple[str, ...],
    keep_going: bool,
    offline: bool,
) -> None:
    """Fetch everything the registry has for SPEC into the store. Runs nothing."""
    plan = experiment.plan(only)
    place = needed_registry(experiment.file, registry)
    entries = read_registry(place, kinds(), plan.spec.id, warn, plan.stages)
    fetched, there = pull(
        plan, Store(store), entries, Hub(offline=offline), click.echo, keep_going=keep_going
    )
    click.echo(f"{fetched} checkpoints fetched, {there} were there already")
