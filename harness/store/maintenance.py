"""Looks through a whole store: listing, cleaning up, verifying."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path

from attrs import frozen

from harness.errors import IntegrityError
from harness.store.files import explained
from harness.store.store import KINDS, Store

ABANDONED_SECONDS = 3600  # younger leftovers may belong to a run that is under way


@frozen
class Row:
    """One artifact: its address, size, and when it was written."""

    kind: str
    key: str
    bytes: int
    created: str


def _addresses(store: Store) -> Iterator[tuple[str, str, Path]]:
    for kind in KINDS:
        for folder in sorted((store.folder / kind).glob("*/*")):
            yield kind, folder.name, folder


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def listing(store: Store) -> list[Row]:
    """Every artifact, by kind and key."""
    rows = []
    for kind, key, folder in _addresses(store):
        at = datetime.fromtimestamp(folder.stat().st_mtime, UTC).isoformat(timespec="seconds")
        rows.append(Row(kind, key, _size(folder), at))
    return rows


def gc(store: Store, keep: Collection[tuple[str, str]], *, dry_run: bool = False) -> list[Row]:
    """Remove artifacts that are not in ``keep`` (kind, key), and what interrupted runs left.

    An artifact whose stage another process has claimed stays.
    """
    removed = []
    for row in listing(store):
        if (row.kind, row.key) in keep:
            continue
        if not dry_run:
            lock = store.lock(row.kind, row.key)
            if lock is None:
                continue
            with lock, explained(store.folder):
                shutil.rmtree(store.path(row.kind, row.key))
        removed.append(row)
    if not dry_run:
        for folder in ("temporary", "damaged", "partial"):
            for leftover in (store.folder / folder).glob("*"):
                if time.time() - leftover.stat().st_mtime > ABANDONED_SECONDS:
                    shutil.rmtree(leftover, ignore_errors=True)
    return removed


def verify(store: Store, progress: Callable[[Row], None] | None = None) -> list[str]:
    """Hash everything. Returns a sentence for each damaged artifact."""
    problems = []
    for row in listing(store):
        if progress is not None:
            progress(row)
        try:
            store.read(row.kind, row.key)
        except IntegrityError as error:
            problems.append(str(error))
    return problems
