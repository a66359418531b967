"""``harness store``: what lies there, what can go, what is damaged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from tabulate import tabulate

from harness.commands.options import STORE
from harness.errors import IntegrityError, UsageError
from harness.plan.protocol import compile_plan
from harness.spec.load import load_spec
from harness.store import Store, gc, listing, verify


@click.group("store")
def command() -> None:
    """Look at, clean up and check the local store."""


@command.command("ls")
@STORE
def _ls(store: Path) -> None:
    """List the artifacts."""
    click.echo(show(store))


@command.command("gc")
@STORE
@click.option(
    "--keep",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Keep what this spec and each of its profiles needs; repeatable.",
)
@click.option("--all", "everything", is_flag=True, help="Keep nothing.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
def _gc(store: Path, keep: tuple[Path, ...], everything: bool, dry_run: bool) -> None:
    """Remove what no --keep spec needs, and what interrupted runs left behind."""
    if bool(keep) == everything:
        raise UsageError("say what to keep with --keep SPEC, or --all to remove every artifact")
    click.echo(collect(store, keep, dry_run))


@command.command("verify")
@STORE
def _verify(store: Path) -> None:
    """Hash every artifact and name the damaged ones (exit code 4)."""
    click.echo(check(store))


def show(folder: Path) -> str:
    """A table of the artifacts."""
    rows = listing(Store(folder))
    table = tabulate(
        [[r.kind, r.key[:12], f"{r.bytes:,}", r.created] for r in rows],
        headers=["kind", "key", "bytes", "created"],
        colalign=("left", "left", "right", "left") if rows else None,
    )
    return f"{table}\n\n{len(rows)} artifacts, {sum(r.bytes for r in rows):,} bytes in {folder}"


def collect(folder: Path, keep: Sequence[Path], dry_run: bool) -> str:
    """Remove what none of the specs in ``keep`` needs, with none or any one of its profiles."""
    wanted = {
        (stage.kind, stage.key)
        for file in keep
        for profile in (None, *load_spec(file).profiles)
        for stage in compile_plan(load_spec(file, profile)).stages.values()
    }
    removed = gc(Store(folder), wanted, dry_run=dry_run)
    verb = "would be removed" if dry_run else "removed"
    return f"{len(removed)} artifacts {verb}, {sum(r.bytes for r in removed):,} bytes"


def check(folder: Path) -> str:
    """Hash everything. Raises IntegrityError that names each damaged file."""
    store = Store(folder)
    problems = verify(store)
    if problems:
        listed = "\n".join(str(problem) for problem in problems)
        raise IntegrityError(f"{len(problems)} damaged artifacts:\n{listed}")
    return f"{len(listing(store))} artifacts in {folder} are what their hashes say"
