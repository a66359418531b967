"""Brings checkpoints from the Hub into the local store, checked before anything reads them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import IntegrityError
from harness.store.answers import TooLarge
from harness.store.files import explained, file_sha256, unseal
from harness.store.hub import Hub
from harness.store.registry import Entry, Pinned
from harness.store.store import Store

if TYPE_CHECKING:
    import torch

_AROUND = "--no-reuse goes on without the Hub"


# What tells the unsealed record and the tensors of an artifact from what they should be, or None.
Check = Callable[[Any, "Mapping[str, torch.Tensor] | None"], str | None]


def fetch(entry: Entry, hub: Hub, store: Store, check: Check) -> None:
    """Put the artifact of ``entry`` into ``store`` once ``check`` finds nothing wrong with it.

    Raises:
        RemoteError: the Hub cannot be reached or refuses; the store is as it was.
        IntegrityError: a file is not what the registry says, which is kept aside, or not of an
            artifact of that stage; the store is as it was.
    """
    record = checked(entry, entry.record, hub, store.folder)
    tensors = checked(entry, entry.tensors, hub, store.folder) if entry.tensors else None
    if wrong := _wrong(entry, record, tensors, check):
        raise IntegrityError(
            f"what the registry entry {entry.place} points at is not the artifact of {entry.kind} "
            f"{entry.key[:12]}: {wrong}. {_AROUND}"
        )
    store.adopt(entry.kind, entry.key, record.read_bytes(), tensors)


def checked(entry: Entry, pinned: Pinned, hub: Hub, store: Path) -> Path:
    """A file of ``entry``, in the library's cache. Raises as ``fetch``; a bad one is kept aside in
    ``store``."""
    place = f"{pinned.path} of {entry.repo} at {entry.commit}"
    otherwise = f"{place} is not what the registry entry {entry.place} says"
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


def _wrong(entry: Entry, record: Path, tensors: Path | None, check: Check) -> str | None:
    """Why files with the right hashes are not the artifact all the same, or None."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        sealed = unseal(record.read_bytes(), record, entry.kind, entry.key)
        found = None if tensors is None else load_file(tensors)
        if wrong := check(sealed, found):
            return wrong
        if entry.tensors and (sealed["tensors"] or {}).get("sha256") != entry.tensors.sha256:
            return "its record and its tensors are not of one artifact"
    except (ValueError, RecursionError, IntegrityError) as problem:
        return f"its record: {problem}"
    except SafetensorError as problem:
        return f"its tensors: {problem}"
    return None


def _set_aside(file: Path, store: Path) -> Path:
    """Move a bad download out of the library's cache, so that the next one is fresh."""
    with explained(store):
        place = store / "damaged"
        place.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=place, prefix="hub-"))
        shutil.move(file.resolve(), aside / file.name)
        file.unlink(missing_ok=True)
    return aside
