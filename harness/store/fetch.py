"""Brings checkpoints from the Hub into the local store, checked before anything reads them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from harness.errors import IntegrityError
from harness.store.files import explained, file_sha256, unseal
from harness.store.hub import Hub
from harness.store.registry import Entry, Pinned
from harness.store.store import Store


def fetch(entry: Entry, hub: Hub, store: Store) -> None:
    """Put the artifact of ``entry`` into ``store``.

    Raises:
        RemoteError: the Hub cannot be reached or refuses; the store is as it was.
        IntegrityError: a file is not what the registry says; it is kept aside.
    """
    record = _checked(entry, entry.record, hub, store)
    tensors = _checked(entry, entry.tensors, hub, store) if entry.tensors else None
    content = record.read_bytes()
    sealed = unseal(content, record)
    if entry.tensors and (sealed["tensors"] or {}).get("sha256") != entry.tensors.sha256:
        raise IntegrityError(f"{entry.file}: its record and its tensors are not of one artifact")
    store.adopt(entry.kind, entry.key, content, tensors)


def _checked(entry: Entry, pinned: Pinned, hub: Hub, store: Store) -> Path:
    file = hub.download(entry.repo, entry.commit, pinned.path)
    size = file.stat().st_size
    found = file_sha256(file)
    if (size, found) == (pinned.bytes, pinned.sha256):
        return file
    aside = _set_aside(file, store)
    raise IntegrityError(
        f"{pinned.path} of {entry.repo} at {entry.commit} is not what the registry entry "
        f"{entry.file} says: its SHA-256 should be {pinned.sha256} ({pinned.bytes:,} bytes), it is "
        f"{found} ({size:,} bytes). The bad file is kept in {aside}; --no-reuse goes on without "
        "the Hub"
    )


def _set_aside(file: Path, store: Store) -> Path:
    """Move a bad download out of the library's cache, so that the next one is fresh."""
    with explained(store.folder):
        place = store.folder / "damaged"
        place.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=place, prefix="hub-"))
        shutil.move(file.resolve(), aside / file.name)
        file.unlink(missing_ok=True)
    return aside
