"""Writes files so that they are whole or not there, and reads them only as they were written."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, IntegrityError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)


class StoreError(HarnessError):
    """The store cannot be written: the disk is full, or it is read-only."""


@contextmanager
def explained(place: Path) -> Iterator[None]:
    """Turn the operating system's refusals into messages that say what to do."""
    try:
        yield
    except OSError as problem:
        if problem.errno in _FULL:
            raise StoreError(
                f"no space left for the store {place}: {_free(place)} are free. What is finished "
                "is kept; free some space (harness store gc --keep SPEC), or use --store on "
                "another disk"
            ) from None
        if problem.errno in _REFUSED:
            raise StoreError(
                f"the store {place} cannot be written ({problem.strerror}); "
                "use --store with a folder that can"
            ) from None
        raise


def _free(place: Path) -> str:
    while not place.exists():
        place = place.parent
    return f"{shutil.disk_usage(place).free:,} bytes"


def sha256(content: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(content).hexdigest()


def file_sha256(file: Path) -> str:
    """Hex digest of a file of any size."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def seal(content: Mapping[str, Any]) -> bytes:
    """``content`` as JSON together with its own hash: equal bytes for equal content."""
    text = json.dumps(content, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return f'{{"sha256":"{sha256(text.encode())}","content":{text}}}\n'.encode()


def unseal(sealed: bytes, file: Path) -> dict[str, Any]:
    """The content of sealed JSON. Raises IntegrityError that names ``file``."""
    prefix, middle, suffix = b'{"sha256":"', b'","content":', b"}\n"
    start = len(prefix) + 64 + len(middle)
    expected = sealed[len(prefix) : len(prefix) + 64]
    content = sealed[start : -len(suffix)]
    whole = sealed.startswith(prefix) and sealed.endswith(suffix)
    whole = whole and sealed[len(prefix) + 64 : start] == middle
    if not whole or sha256(content).encode() != expected:
        raise damaged(file, expected.decode("ascii", "replace"), sha256(content))
    try:
        record: dict[str, Any] = json.loads(content, parse_constant=_refuse)
    except ValueError as problem:
        raise IntegrityError(f"{file} has the right hash and is no record: {problem}") from None
    return record


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a finite number")


def damaged(file: Path, expected: str, found: str) -> IntegrityError:
    """The error for a file that is not what its hash says."""
    return IntegrityError(f"{file} is damaged: its SHA-256 should be {expected}, it is {found}")


def write_durably(file: Path, content: bytes) -> None:
    """Write and force to disk."""
    with file.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def replace_file(file: Path, content: bytes) -> None:
    """Put ``content`` in place of ``file`` in one step, readable as the user's umask says."""
    temporary = file.parent / f".new-{file.name}-{uuid.uuid4().hex}"
    try:
        write_durably(temporary, content)
        os.replace(temporary, file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Force a rename inside ``folder`` to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
