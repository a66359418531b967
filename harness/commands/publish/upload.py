"""Puts files on the Hub and their entries into the registry, each whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from harness.errors import HarnessError, RemoteError
from harness.store.calls import Conflict
from harness.store.files import file_sha256, sha256, write_durably
from harness.store.hub import Hub, Remote
from harness.store.registry import Entry

TRIES = 4  # when others commit at the same time


def upload(hub: Hub, repo: str, files: Mapping[str, bytes | Path], message: str) -> str:
    """The commit that holds all of ``files``: one that is there already, or a new one."""
    for _ in range(TRIES):
        head = hub.head(repo)
        there = hub.files(repo, head)
        new = {p: c for p, c in files.items() if p not in there or not _same(c, there[p])}
        if not new:
            return head
        try:
            commit = hub.commit(repo, new, message, head)
        except Conflict:
            continue
        there = hub.files(repo, commit)
        wrong = [p for p, c in files.items() if p not in there or not _same(c, there[p])]
        if wrong:
            raise RemoteError(f"{repo} at {commit}: {wrong[0]} did not arrive whole; publish again")
        return commit
    raise RemoteError(f"{repo} was changed by others {TRIES} times in a row; publish again")


def _same(content: bytes | Path, there: Remote) -> bool:
    """Whether the Hub's file is ``content``."""
    if there.sha256 is not None:
        known = sha256(content) if isinstance(content, bytes) else file_sha256(content)
        return known == there.sha256
    read = content if isinstance(content, bytes) else content.read_bytes()
    git = hashlib.sha1(b"blob %d\0" % len(read) + read, usedforsecurity=False)
    return git.hexdigest() == there.blob


def write_entries(entries: list[Entry]) -> None:
    """Write the files of ``entries``: all of them, or none.

    Raises:
        HarnessError: they cannot be written; what is on the Hub stays.
    """
    begun: list[tuple[Path, Path]] = []
    done: list[Path] = []
    try:
        for entry in entries:
            entry.file.parent.mkdir(parents=True, exist_ok=True)
            temporary = entry.file.with_name(f".{entry.file.name}.new")
            begun.append((temporary, entry.file))
            write_durably(temporary, entry.text().encode())
        for temporary, file in begun:
            temporary.replace(file)
            done.append(file)
    except OSError as problem:
        for file in [*(temporary for temporary, _ in begun), *done]:
            file.unlink(missing_ok=True)
        raise HarnessError(
            f"{entries[0].file.parent} cannot be written ({problem.strerror}), so no registry file "
            "was. The checkpoints are on the Hub; the same command writes the files once it can"
        ) from None
