"""``harness store``: what lies there, what can go, what is damaged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten

import click
from tabulate import tabulate

from harness.commands.options import PROFILE, STORE, Place
from harness.errors import IntegrityError, UsageError
from harness.plan.kinds import store_at
from harness.plan.plan import Plan
from harness.plan.protocol import compile_plan
from harness.spec.load import load_spec
from harness.store import Store, gc, listing, strays, verify
from harness.store.maintenance import Listed

SHOWN = 10  # stray entries that are named
_HEALING = "A run computes again what it reads of them; what no run reads can be deleted."


@click.group("store")
def command() -> None:
    """Look at, clean up and check the local store."""


@command.command("ls")
@STORE
@click.option("--spec", type=click.Path(path_type=Path), help="Only what this spec needs.")
@PROFILE
def _ls(store: Path, spec: Path | None, profile: str | None) -> None:
    """List the artifacts, with what they are of."""
    if spec is None and profile:
        raise UsageError("--profile is one of a spec; name it with --spec")
    click.echo(show(store, None if spec is None else compile_plan(load_spec(spec, profile))))


@command.command("path")
@STORE
@click.argument("key", required=False)
def _path(store: Path, key: str | None) -> None:
    """Print the folder of the artifact whose key begins with KEY, or that of the store."""
    found = [row for row in listing(Store(store)) if key and row.key.startswith(key)]
    if key and len(found) != 1:
        named = ", ".join(f"{row.kind} {row.key[:16]}" for row in found[:SHOWN]) or "none"
        raise UsageError(
            f"{key!r} begins the keys of {len(found)} artifacts; one is needed: {named}"
        )
    click.echo(Store(store).path(found[0].kind, found[0].key) if found else store)


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


def show(folder: Path, plan: Plan | None = None) -> str:
    """A table of the artifacts, or of those that ``plan`` needs, by what people call them."""
    store = Store(folder)
    stages = {} if plan is None else plan.stages
    rows = [row for row in listing(store) if plan is None or row.key in stages]
    table = tabulate(
        [
            [r.kind, plan.describe(r.key) if plan else _uses(store, r), r.key[:12], f"{r.bytes:,}",
             r.created]
            for r in rows
        ],
        headers=["kind", "of", "key", "bytes", "created"],
        colalign=("left", "left", "left", "right", "left") if rows else None,
    )  # fmt: skip
    of = "" if plan is None else f" of the {len(stages)} stages of {plan.spec.id}"
    found = f"{len(rows)} artifacts{of}, {sum(r.bytes for r in rows):,} bytes in {folder}"
    return f"{table}\n\n{found}{_strays(store)}"


def _uses(store: Store, row: Listed) -> str:
    """The components that an artifact was made with, as its record says."""
    try:
        used = store.record(row.kind, row.key)["stage"]["uses"]
    except (IntegrityError, KeyError):
        return "damaged"
    return shorten(", ".join(used), 40, placeholder=" ...")


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
