"""Puts files on the Hub in commits of a size that it takes, and says what a repository holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from harness.errors import RemoteError
from harness.store.files import file_sha256, sha256
from harness.store.hub import Hub, Remote
from harness.store.registry import content_of

BATCH = 256  # files of a commit: what the library asks for at once

Files = Mapping[str, bytes | Path]


def upload(
    hub: Hub,
    repo: str,
    files: Files,
    index: Files,
    message: str,
    head: str,
    there: Mapping[str, Remote],
    revision: str | None = None,
) -> str:
    """The commit that holds ``files`` and ``index``: ``head``, which ``revision`` is at and where
    there is what is ``there``, or the last of some on top of it. ``index`` comes with the last,
    when all that it tells of is there.

    Raises:
        Conflict: somebody else committed; what was committed before that stays.
    """
    new = [path for path, content in files.items() if not _is_there(path, content, there)]
    batches = [new[start : start + BATCH] for start in range(0, len(new), BATCH)] or [[]]
    for batch in batches:
        content = {path: files[path] for path in batch}
        if batch is batches[-1]:
            content |= {p: c for p, c in index.items() if not _is_there(p, c, there)}
        if content:
            head = hub.commit(repo, content, message, parent=head, revision=revision)
    if new:
        there = hub.files(repo, head)
        wrong = [path for path, content in files.items() if not _is_there(path, content, there)]
        if wrong:
            raise RemoteError(f"{repo} at {head}: {wrong[0]} did not arrive whole; publish again")
    return head


def _is_there(path: str, content: bytes | Path, there: Mapping[str, Remote]) -> bool:
    """Whether the Hub's file at ``path`` is ``content``."""
    found = there.get(path)
    if found is None:
        return False
    if found.sha256 is not None:
        known = sha256(content) if isinstance(content, bytes) else file_sha256(content)
        return known == found.sha256
    read = content if isinstance(content, bytes) else content.read_bytes()
    git = hashlib.sha1(b"blob %d\0" % len(read) + read, usedforsecurity=False)
    return git.hexdigest() == found.blob


def read(hub: Hub, repo: str, commit: str, path: str, there: Mapping[str, Remote]) -> bytes:
    """The content of a small file of a repository; nothing where it is not ``there``."""
    if path not in there:
        return b""
    return content_of(hub.download(repo, commit, path, there[path].bytes).resolve())
