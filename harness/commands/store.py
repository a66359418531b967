"""``harness store``: what lies there, what can go, what is damaged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from harness.errors import IntegrityError
from harness.plan.protocol import compile_plan
from harness.spec.load import load_spec
from harness.store import Store, gc, listing, verify


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
