"""Locks between processes: each stage is computed once."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout


# The system lets go of a lock with the process that holds it, however that ends; a file that says
# "locked" would outlive a killed run.
class Lock:
    """A lock that is held until the block ends or the process dies."""

    def __init__(self, lock: FileLock) -> None:
        self._lock = lock

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()


def try_lock(file: Path) -> Lock | None:
    """Take the lock ``file``, or None while another process holds it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    return Lock(lock)
