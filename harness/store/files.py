"""Writes files so that they are whole or not there, and reads them only as they were written."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, IntegrityError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)
_IN_THE_WAY = (errno.ENOTDIR, errno.EEXIST, errno.EISDIR)


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
        if problem.errno in _IN_THE_WAY:
            raise StoreError(
                f"{problem.filename} is not what the store {place} keeps there "
                f"({problem.strerror}); move it away"
            ) from None
        raise


def refuse_unwritable(what: str, folder: Path) -> None:
    """Raises HarnessError unless files can be written into ``folder``, or it can be made."""
    place = folder
    try:
        while not _is_there(place):
            place = place.parent
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as problem:
        raise HarnessError(
            f"{what} {folder} cannot be written ({problem.strerror}); name another. Nothing was run"
        ) from None


def _is_there(place: Path) -> bool:
    try:
        return place.lstat() is not None
    except FileNotFoundError:
        return False


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


def unseal(sealed: bytes, file: Path, kind: str, key: str) -> dict[str, Any]:
    """The content of the sealed JSON in ``file``, which has to say that it is of ``kind`` ``key``.

    Raises:
        IntegrityError: it is not what its hash says, no JSON, or of another stage.
    """
    prefix, middle, suffix = b'{"sha256":"', b'","content":', b"}\n"
    start = len(prefix) + 64 + len(middle)
    expected = sealed[len(prefix) : len(prefix) + 64]
    content = sealed[start : -len(suffix)]
    whole = sealed.startswith(prefix) and sealed.endswith(suffix)
    whole = whole and sealed[len(prefix) + 64 : start] == middle
    if not whole or sha256(content).encode() != expected:
        raise damaged(file, expected.decode("ascii", "replace"), sha256(content))
    try:
        found = json.loads(content, parse_constant=_refused)
    except (ValueError, RecursionError) as problem:
        raise IntegrityError(f"{file} is damaged: {problem}") from None
    if not isinstance(found, dict) or not {"kind", "key"} <= found.keys():
        raise IntegrityError(
            f"{file} does not say whose it is: it was written before records were bound to their "
            "stages, and could be a copy of another's"
        )
    if (found["kind"], found["key"]) != (kind, key):
        other = f"{found['kind']} {found['key']}"[:110]
        raise IntegrityError(f"{file} is damaged: it should be of {kind} {key}, it is of {other!r}")
    return found


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not a finite number")


def size_of(file: Path) -> int | None:
    """The bytes of ``file``; None when it is missing, or no file."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def content_of(file: Path) -> bytes:
    """What is in ``file``. Raises IntegrityError unless it is a file that can be read.

    Nothing else is opened: a named pipe would block for ever.
    """
    if size_of(file) is None:
        raise IntegrityError(f"{file} is damaged: it is missing, or no file")
    try:
        return file.read_bytes()
    except OSError as problem:
        raise IntegrityError(f"{file} is damaged: {problem.strerror}") from None


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
