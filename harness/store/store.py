"""The local store: artifacts by content address, safe for several processes at once.

``<store>/<kind>/<key[:2]>/<key>/record.json`` and ``tensors.safetensors``. An artifact appears by
one rename of a finished folder, so it is there whole or not at all.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from attrs import frozen

from harness.errors import HarnessError, IntegrityError, UsageError
from harness.store.files import (
    content_of,
    damaged,
    explained,
    replace_file,
    seal,
    sha256,
    size_of,
    sync_folder,
    unseal,
    write_durably,
)
from harness.store.locks import Lock, try_lock
from harness.store.records import Schema, wrong_with
from harness.store.slots import Slot
from harness.store.tensors import apart

if TYPE_CHECKING:
    import torch

RECORD, TENSORS = "record.json", "tensors.safetensors"
KIND = r"^[a-z]{1,40}$"  # what a kind means, only its stages know
REPLACED = "replaced"  # while their successors are computed
RESERVED = frozenset({"locks", "partial", "damaged", "temporary", REPLACED})
_KEY = re.compile(r"[0-9a-f]{64}")
_MARKER = "store.json"


def is_address(kind: str, key: str) -> bool:
    """Whether an artifact may lie there."""
    return is_kind(kind) and _KEY.fullmatch(key) is not None


def is_kind(name: str) -> bool:
    """Whether artifacts may lie in the folder ``name`` of a store."""
    return re.fullmatch(KIND, name) is not None and name not in RESERVED


def is_part(place: Path) -> bool:
    """Whether ``place``, which lies in a store, is what its name says that it is."""
    if is_kind(place.name):
        return place.is_dir()
    return place.name in (*RESERVED, _MARKER) or place.name.startswith(".new-")


def default_folder() -> Path:
    """``$HARNESS_STORE``, or ``harness/store`` in the user's cache folder.

    Raises:
        UsageError: this user has no home folder.
    """
    if named := os.environ.get("HARNESS_STORE"):
        return Path(named)
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    except RuntimeError:
        why = "this user has no home folder to keep a store in"
        raise UsageError(f"{why}; name one with --store or HARNESS_STORE") from None
    return caches / "harness" / "store"


def _without_tensors(sealed: Mapping[str, Any]) -> bytes:
    """``sealed`` again, with the word that its tensors were left out on purpose."""
    tensors = sealed["tensors"] and {**sealed["tensors"], "dropped": True}
    return seal({**sealed, "tensors": tensors})


@frozen(eq=False)
class Artifact:
    """What a stage left: its record, and its tensors unless it has none."""

    record: dict[str, Any]
    tensors: dict[str, torch.Tensor] | None


class Store:
    """A folder of artifacts. It is created by the first write.

    ``shapes`` has by kind the schema of each fact that its records have; what is read is held
    against it. Without them the store knows no kind.
    """

    def __init__(
        self, folder: Path, shapes: Mapping[str, Mapping[str, Schema]] = MappingProxyType({})
    ) -> None:
        self.folder, self.shapes = folder, shapes
        if folder.exists() and not folder.is_dir():
            raise HarnessError(f"the store {folder} is a file; a folder is needed")
        marker = folder / _MARKER
        if folder.is_dir() and not marker.exists():
            # Without the marker, any folder could hold one with the name of a kind.
            shelves = (shelf for kind in self.kinds() for shelf in (folder / kind).iterdir())
            foreign = [p.name for p in folder.iterdir() if not is_part(p)]
            foreign = sorted([*foreign, *(s.parent.name for s in shelves if len(s.name) != 2)])
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
        names = (RECORD, TENSORS) if tensors else (RECORD,)
        return all(size_of(self.path(kind, key) / name) is not None for name in names)

    def holds(self, kind: str, key: str) -> bool:
        """Whether anything lies where the artifact would, whole or not."""
        return os.path.lexists(self.path(kind, key))

    def record(self, kind: str, key: str) -> dict[str, Any]:
        """The record of an artifact.

        Raises:
            IntegrityError: it is damaged or that of another stage, or its tensors are not there as
                it says. What they hold is not looked at.
        """
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
        file, tensors = (self.path(kind, key) / name for name in (RECORD, TENSORS))
        size = size_of(tensors)  # asked first: who drops tensors writes the record first
        sealed = unseal(content_of(file), file, kind, key)
        if wrong := wrong_with(sealed, self.shapes.get(kind)):
            raise IntegrityError(f"{file} is damaged: {wrong}")
        expected = sealed["tensors"]
        if expected is None and os.path.lexists(tensors):
            raise IntegrityError(f"{tensors} is damaged: its record says that there are no tensors")
        if expected and size is not None and size != expected["bytes"]:
            raise damaged(tensors, expected["sha256"], sha256(content_of(tensors)))
        excused = expected is None or expected.get("dropped")
        if not excused and size is None and size_of(tensors) is None:  # nor written just now
            raise IntegrityError(f"{tensors} is lost: its record says that it is there")
        return sealed

    def read(self, kind: str, key: str) -> Artifact:
        """The artifact, hashed before it is parsed.

        Raises:
            IntegrityError: a file is damaged; the message names it and both hashes.
        """
        sealed = self._sealed(kind, key)
        expected = sealed["tensors"]
        file = self.path(kind, key) / TENSORS
        if expected is None or size_of(file) is None:
            return Artifact(sealed["record"], None)
        content = content_of(file)
        if sha256(content) != expected["sha256"]:
            raise damaged(file, expected["sha256"], sha256(content))
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            return Artifact(sealed["record"], load(content))
        except SafetensorError as problem:
            raise IntegrityError(f"{file} is damaged: {problem}") from None

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
        with self._adding(kind, key, with_tensors=tensors is not None) as folder:
            described = None
            if tensors is not None:
                from safetensors.torch import save

                content = save(apart(tensors))
                write_durably(folder / TENSORS, content)
                described = {"sha256": sha256(content), "bytes": len(content)}
            sealed = {"kind": kind, "key": key, "record": record, "tensors": described}
            write_durably(folder / RECORD, seal(sealed))

    def adopt(self, kind: str, key: str, record: bytes, tensors: Path | None) -> None:
        """Put a copy of the files of an artifact that was made elsewhere into the store.

        Raises:
            IntegrityError: the record is damaged, or that of another stage.
            StoreError: the disk is full or read-only; the store is as it was.
        """
        with self._adding(kind, key, with_tensors=tensors is not None) as folder:
            if tensors is not None:
                shutil.copyfile(tensors, folder / TENSORS)
            else:
                record = _without_tensors(unseal(record, folder / RECORD, kind, key))
            write_durably(folder / RECORD, record)

    @contextmanager
    def _adding(self, kind: str, key: str, *, with_tensors: bool) -> Iterator[Path]:
        """A new folder, which becomes that of the artifact once the block has filled it."""
        target = self.path(kind, key)
        with explained(self.folder):
            folder = self._temporary()
            try:
                yield folder
                sync_folder(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                if self.holds(kind, key) and not self.has(kind, key, tensors=with_tensors):
                    os.replace(target, self._temporary() / "dropped")
                try:
                    os.rename(folder, target)
                except OSError:
                    if not self.has(kind, key, tensors=with_tensors):
                        raise
                sync_folder(target.parent)
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def _temporary(self) -> Path:
        place = self.folder / "temporary"
        place.mkdir(parents=True, exist_ok=True)
        marker = self.folder / _MARKER
        if not marker.exists():
            replace_file(marker, b'{"harness-store":1}\n')
        return Path(tempfile.mkdtemp(dir=place))

    def drop_tensors(self, kind: str, key: str) -> None:
        """Keep only the record of an artifact, which says so: what it lacks is not lost."""
        folder = self.path(kind, key)
        if self.has(kind, key, tensors=True):
            # What is damaged, or set aside meanwhile, is left to those who read it.
            with explained(self.folder), suppress(IntegrityError, FileNotFoundError):
                replace_file(folder / RECORD, _without_tensors(self._sealed(kind, key)))
                (folder / TENSORS).unlink(missing_ok=True)

    def set_aside(self, kind: str, key: str) -> Path:
        """Move a damaged artifact to ``<store>/damaged``, so that it can be computed again."""
        with explained(self.folder):
            place = self.folder / "damaged"
            place.mkdir(parents=True, exist_ok=True)
            aside = Path(tempfile.mkdtemp(dir=place, prefix=f"{kind}-{key[:12]}-"))
            with suppress(FileNotFoundError):  # another process set it aside
                os.rename(self.path(kind, key), aside / "artifact")
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
