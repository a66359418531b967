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
from harness.store.store import REPLACED, Store, is_address, is_part

ABANDONED_SECONDS = 3600  # younger leftovers may belong to a run that is under way


@frozen
class Listed:
    """One artifact: its address, size, and when it was written."""

    kind: str
    key: str
    bytes: int
    created: str


def _addresses(store: Store) -> Iterator[tuple[str, str, Path]]:
    for kind in store.kinds():
        for folder in sorted((store.folder / kind).glob("*/*")):
            there = is_address(kind, folder.name) and folder.is_dir()
            if there and folder == store.path(kind, folder.name):
                yield kind, folder.name, folder


def strays(store: Store) -> list[Path]:
    """What lies in the store where nothing of the kind belongs; nobody reads it."""
    if not store.folder.is_dir():
        return []
    found = [place for place in store.folder.iterdir() if not is_part(place)]
    shelves = [shelf for kind in store.kinds() for shelf in (store.folder / kind).iterdir()]
    found += [shelf for shelf in shelves if not shelf.is_dir()]
    artifacts = {folder for _, _, folder in _addresses(store)}
    inside = (place for shelf in shelves if shelf.is_dir() for place in shelf.iterdir())
    return sorted([*found, *(place for place in inside if place not in artifacts)])


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def listing(store: Store) -> list[Listed]:
    """Every artifact, by kind and key."""
    found = []
    for kind, key, folder in _addresses(store):
        at = datetime.fromtimestamp(folder.stat().st_mtime, UTC).isoformat(timespec="seconds")
        found.append(Listed(kind, key, _size(folder), at))
    return found


def gc(store: Store, keep: Collection[tuple[str, str]], *, dry_run: bool = False) -> list[Listed]:
    """Remove artifacts that are not in ``keep`` (kind, key), and what interrupted runs left.

    An artifact whose stage another process is computing stays.
    """
    removed = []
    for artifact in listing(store):
        if (artifact.kind, artifact.key) in keep:
            continue
        if not dry_run:
            lock = store.lock(artifact.kind, artifact.key)
            if lock is None:
                continue
            with lock, explained(store.folder):
                shutil.rmtree(store.path(artifact.kind, artifact.key))
        removed.append(artifact)
    if not dry_run:
        for folder in ("temporary", "damaged", "partial", REPLACED):
            for leftover in (store.folder / folder).glob("*"):
                if time.time() - leftover.lstat().st_mtime > ABANDONED_SECONDS:
                    _remove(leftover)
    return removed


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)


def verify(store: Store, progress: Callable[[Listed], None] | None = None) -> list[str]:
    """Hash everything. Returns a sentence for each damaged artifact."""
    problems = []
    for artifact in listing(store):
        if progress is not None:
            progress(artifact)
        try:
            store.read(artifact.kind, artifact.key)
        except IntegrityError as error:
            problems.append(str(error))
    return problems
