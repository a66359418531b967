"""``harness store``: what lies there, what can go, what is damaged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from tabulate import tabulate

from harness.commands.options import STORE, Place
from harness.errors import IntegrityError, UsageError
from harness.plan.kinds import store_at
from harness.plan.protocol import compile_plan
from harness.spec.load import load_spec
from harness.store import Store, gc, listing, strays, verify

SHOWN = 10  # stray entries that are named
_HEALING = "A run computes again what it reads of them; what no run reads can be deleted."


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
    type=Place(),
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
    store = Store(folder)
    rows = listing(store)
    table = tabulate(
        [[r.kind, r.key[:12], f"{r.bytes:,}", r.created] for r in rows],
        headers=["kind", "key", "bytes", "created"],
        colalign=("left", "left", "right", "left") if rows else None,
    )
    found = f"{len(rows)} artifacts, {sum(r.bytes for r in rows):,} bytes in {folder}"
    return f"{table}\n\n{found}{_strays(store)}"


def _strays(store: Store) -> str:
    """A sentence about what does not belong into the store; empty when there is nothing."""
    found = strays(store)
    if not found:
        return ""
    named = ", ".join(repr(str(place.relative_to(store.folder))) for place in found[:SHOWN])
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"\n{len(found)} entries are no part of a store and are left alone: {named}{more}"


def collect(folder: Path, keep: Sequence[Path], dry_run: bool) -> str:
    """Remove what none of the specs in ``keep`` needs, with none or any one of its profiles."""
    wanted = {
        (stage.kind, stage.key)
        for file in keep
        for profile in (None, *load_spec(file).profiles)
        for stage in compile_plan(load_spec(file, profile)).stages.values()
    }
    store = Store(folder)
    removed = gc(store, wanted, dry_run=dry_run)
    verb = "would be removed" if dry_run else "removed"
    size = sum(r.bytes for r in removed)
    return f"{len(removed)} artifacts {verb}, {size:,} bytes{_strays(store)}"


def check(folder: Path) -> str:
    """Hash everything. Raises IntegrityError that names each damaged file."""
    store = store_at(folder)
    problems = verify(store)
    if problems:
        listed = "\n".join(str(problem) for problem in problems)
        raise IntegrityError(
            f"{len(problems)} damaged artifacts:\n{listed}\n{_HEALING}{_strays(store)}"
        )
    whole = f"{len(listing(store))} artifacts in {folder} are what their hashes say"
    return whole + _strays(store)
