"""The local store: artifacts by content address, safe for several processes at once.

``<store>/<kind>/<key[:2]>/<key>/record.json`` and ``tensors.safetensors``. An artifact appears by
one rename of a finished folder, so it is there whole or not at all.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from harness.errors import HarnessError
from harness.store.files import (
    damaged,
    explained,
    replace_file,
    seal,
    sha256,
    sync_folder,
    unseal,
    write_durably,
)
from harness.store.locks import Lock, try_lock
from harness.store.slots import Slot
from harness.store.tensors import apart

if TYPE_CHECKING:
    import torch

RECORD, TENSORS = "record.json", "tensors.safetensors"
KIND = r"^[a-z]{1,40}$"  # what a kind means, only its stages know
RESERVED = frozenset({"locks", "partial", "damaged", "temporary"})
_KEY = re.compile(r"[0-9a-f]{64}")
_MARKER = "store.json"


def is_address(kind: str, key: str) -> bool:
    """Whether an artifact may lie there."""
    return is_kind(kind) and _KEY.fullmatch(key) is not None


def is_kind(name: str) -> bool:
    """Whether artifacts may lie in the folder ``name`` of a store."""
    return re.fullmatch(KIND, name) is not None and name not in RESERVED


def _ours(place: Path) -> bool:
    """Whether ``place`` may be part of a store whose marker is not there."""
    if is_kind(place.name):
        return place.is_dir() and all(len(shelf.name) == 2 for shelf in place.iterdir())
    return place.name in (*RESERVED, _MARKER) or place.name.startswith(".new-")


def default_folder() -> Path:
    """``$HARNESS_STORE``, or ``harness/store`` in the user's cache folder."""
    if named := os.environ.get("HARNESS_STORE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "harness" / "store"


@frozen(eq=False)
class Artifact:
    """What a stage left: its record, and its tensors unless it has none."""

    record: dict[str, Any]
    tensors: dict[str, torch.Tensor] | None


class Store:
    """A folder of artifacts. It is created by the first write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if folder.exists() and not folder.is_dir():
            raise HarnessError(f"the store {folder} is a file; a folder is needed")
        marker = folder / _MARKER
        if folder.is_dir() and not marker.exists():
            foreign = sorted(place.name for place in folder.iterdir() if not _ours(place))
            if foreign and not marker.exists():  # which another process may just have written
                raise HarnessError(
                    f"{folder} is not a store: it holds {foreign[0]!r}; "
                    "use --store with an empty or new folder"
                )

    def path(self, kind: str, key: str) -> Path:
        """The folder of an artifact. Raises HarnessError for a malformed kind or key."""
        if not is_address(kind, key):
            raise HarnessError(f"not the address of an artifact: {kind}/{key}")
        return self.folder / kind / key[:2] / key

    def kinds(self) -> list[str]:
        """The kinds of which there are artifacts, in alphabetical order."""
        places = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        return [place.name for place in places if is_kind(place.name) and place.is_dir()]

    def has(self, kind: str, key: str, *, tensors: bool = False) -> bool:
        """Whether the artifact is there, and its tensors too when asked."""
        return (self.path(kind, key) / (TENSORS if tensors else RECORD)).exists()

    def record(self, kind: str, key: str) -> dict[str, Any]:
        """The record of an artifact. Raises IntegrityError when it is damaged."""
        content: dict[str, Any] = self._sealed(kind, key)["record"]
        return content

    def digest(self, kind: str, key: str) -> str | None:
        """SHA-256 of the tensors of an artifact, also once they were dropped; None: it has none.

        Raises:
            IntegrityError: its record is damaged.
        """
        tensors = self._sealed(kind, key)["tensors"]
        return None if tensors is None else str(tensors["sha256"])

    def _sealed(self, kind: str, key: str) -> dict[str, Any]:
        file = self.path(kind, key) / RECORD
        try:
            return unseal(file.read_bytes(), file)
        except FileNotFoundError:
            raise damaged(file, "that of a record", "missing") from None

    def read(self, kind: str, key: str) -> Artifact:
        """The artifact, hashed before it is parsed.

        Raises:
            IntegrityError: a file is damaged; the message names it and both hashes.
        """
        sealed = self._sealed(kind, key)
        expected = sealed["tensors"]
        file = self.path(kind, key) / TENSORS
        if expected is None or not file.exists():
            return Artifact(sealed["record"], None)
        content = file.read_bytes()
        if sha256(content) != expected["sha256"]:
            raise damaged(file, expected["sha256"], sha256(content))
        from safetensors.torch import load

        return Artifact(sealed["record"], load(content))

    def write(
        self,
        kind: str,
        key: str,
        record: Mapping[str, Any],
        tensors: Mapping[str, torch.Tensor] | None,
    ) -> None:
        """Put an artifact into the store. One that is there already stays, unless it lacks tensors.

        Raises:
            StoreError: the disk is full or read-only; the store is as it was.
        """
        target = self.path(kind, key)
        with explained(self.folder):
            folder = self._temporary()
            try:
                self._fill(folder, record, tensors)
                self._publish(folder, target, with_tensors=tensors is not None)
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def adopt(self, kind: str, key: str, record: bytes, tensors: Path | None) -> None:
        """Put a copy of the files of an artifact that was made elsewhere into the store.

        Raises:
            StoreError: the disk is full or read-only; the store is as it was.
        """
        target = self.path(kind, key)
        with explained(self.folder):
            folder = self._temporary()
            try:
                write_durably(folder / RECORD, record)
                if tensors is not None:
                    shutil.copyfile(tensors, folder / TENSORS)
                sync_folder(folder)
                self._publish(folder, target, with_tensors=tensors is not None)
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def _fill(
        self, folder: Path, record: Mapping[str, Any], tensors: Mapping[str, torch.Tensor] | None
    ) -> None:
        described = None
        if tensors is not None:
            from safetensors.torch import save

            content = save(apart(tensors))
            write_durably(folder / TENSORS, content)
            described = {"sha256": sha256(content), "bytes": len(content)}
        write_durably(folder / RECORD, seal({"record": record, "tensors": described}))
        sync_folder(folder)

    def _publish(self, folder: Path, target: Path, *, with_tensors: bool) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        complete = target / (TENSORS if with_tensors else RECORD)
        if target.exists() and not complete.exists():
            os.replace(target, self._temporary() / "dropped")
        try:
            os.rename(folder, target)
        except OSError:
            if not complete.exists():
                raise
        sync_folder(target.parent)

    def _temporary(self) -> Path:
        place = self.folder / "temporary"
        place.mkdir(parents=True, exist_ok=True)
        marker = self.folder / _MARKER
        if not marker.exists():
            replace_file(marker, b'{"harness-store":1}\n')
        return Path(tempfile.mkdtemp(dir=place))

    def drop_tensors(self, kind: str, key: str) -> None:
        """Keep only the record of an artifact."""
        file = self.path(kind, key) / TENSORS
        if file.exists():
            with explained(self.folder):
                file.unlink(missing_ok=True)

    def set_aside(self, kind: str, key: str) -> Path:
        """Move a damaged artifact to ``<store>/damaged``, so that it can be computed again."""
        with explained(self.folder):
            place = self.folder / "damaged"
            place.mkdir(parents=True, exist_ok=True)
            aside = Path(tempfile.mkdtemp(dir=place, prefix=f"{kind}-{key[:12]}-"))
            source = self.path(kind, key)
            if source.exists():
                os.rename(source, aside / "artifact")
        return aside

    def lock(self, kind: str, key: str) -> Lock | None:
        """The right to compute a stage, or None while another process has it."""
        self.path(kind, key)
        with explained(self.folder):
            self._temporary().rmdir()
            return try_lock(self.folder / "locks" / f"{kind}-{key}.lock")

    def slot(self, kind: str, key: str, every_seconds: float) -> Slot:
        """Where a stage that is under way keeps its state."""
        self.path(kind, key)
        return Slot(self.folder / "partial" / f"{kind}-{key}", every_seconds)
