"""Brings checkpoints from the Hub into the local store, checked before anything reads them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import IntegrityError
from harness.store.calls import TooLarge
from harness.store.files import explained, file_sha256, unseal
from harness.store.hub import Hub
from harness.store.records import wrong_with
from harness.store.registry import Entry, Pinned
from harness.store.store import Store

_AROUND = "--no-reuse goes on without the Hub"


def fetch(entry: Entry, hub: Hub, store: Store, own: Mapping[str, Any]) -> None:
    """Put the artifact of ``entry`` into ``store``; ``own`` are the schemas of its kind's record.

    Raises:
        RemoteError: the Hub cannot be reached or refuses; the store is as it was.
        IntegrityError: a file is not what the registry says; it is kept aside.
    """
    record = _checked(entry, entry.record, hub, store)
    tensors = _checked(entry, entry.tensors, hub, store) if entry.tensors else None
    if wrong := _wrong(entry, record, tensors, own):
        raise IntegrityError(
            f"what the registry entry {entry.file} points at is no artifact: {wrong}. {_AROUND}"
        )
    store.adopt(entry.kind, entry.key, record.read_bytes(), tensors)


def _checked(entry: Entry, pinned: Pinned, hub: Hub, store: Store) -> Path:
    place = f"{pinned.path} of {entry.repo} at {entry.commit}"
    otherwise = f"{place} is not what the registry entry {entry.file} says"
    try:
        file = hub.download(entry.repo, entry.commit, pinned.path, pinned.bytes)
    except TooLarge as large:
        raise IntegrityError(
            f"{otherwise}: it should have {pinned.bytes:,} bytes, it has {large.bytes:,} and was "
            f"not fetched. {_AROUND}"
        ) from None
    size = file.stat().st_size
    found = file_sha256(file)
    if (size, found) == (pinned.bytes, pinned.sha256):
        return file
    aside = _set_aside(file, store)
    raise IntegrityError(
        f"{otherwise}: its SHA-256 should be {pinned.sha256} ({pinned.bytes:,} bytes), it is "
        f"{found} ({size:,} bytes). The bad file is kept in {aside}; {_AROUND}"
    )


def _wrong(entry: Entry, record: Path, tensors: Path | None, own: Mapping[str, Any]) -> str | None:
    """Why files with the right hashes are no artifact all the same, or None."""
    from safetensors import SafetensorError, safe_open

    try:
        sealed = unseal(record.read_bytes(), record, entry.kind, entry.key)
        if wrong := wrong_with(sealed, own):
            return f"its record: {wrong}"
        if entry.tensors and (sealed["tensors"] or {}).get("sha256") != entry.tensors.sha256:
            return "its record and its tensors are not of one artifact"
        if tensors is not None:
            with safe_open(tensors, "pt"):
                pass
    except (ValueError, RecursionError, IntegrityError) as problem:
        return f"its record: {problem}"
    except SafetensorError as problem:
        return f"its tensors: {problem}"
    return None


def _set_aside(file: Path, store: Store) -> Path:
    """Move a bad download out of the library's cache, so that the next one is fresh."""
    with explained(store.folder):
        place = store.folder / "damaged"
        place.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=place, prefix="hub-"))
        shutil.move(file.resolve(), aside / file.name)
        file.unlink(missing_ok=True)
    return aside
