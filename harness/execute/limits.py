"""Limits that whoever runs a spec sets from outside; a spec's budget is its author's word only."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import Interrupted, OverBudget, UsageError
from harness.stages.watch import StopFlag

GRACE_SECONDS = 60.0  # that running stages have to save their state
SPARE_GB = 0.1  # for what a process imports besides torch


@contextmanager
def time_limit(hours: float | None, stop: StopFlag) -> Iterator[None]:
    """Stop the run after so many hours on the wall: first by asking, then by ending the process.

    Raises:
        OverBudget: the time was up. What is finished is in the store.
    """
    if hours is None:
        yield
        return
    text = (
        f"the {hours:g} hours of --limit-hours are over; finished work is kept. "
        "Run the same command to go on"
    )
    timers = [
        threading.Timer(3600 * hours, stop.set),
        threading.Timer(3600 * hours + GRACE_SECONDS, _end, [text]),
    ]
    for timer in timers:
        timer.daemon = True
        timer.start()
    try:
        yield
    except Interrupted:
        if timers[0].finished.is_set():
            raise OverBudget(text) from None
        raise
    finally:
        for timer in timers:
            timer.cancel()


def _end(text: str) -> None:
    """End this process, and so its workers, whatever it is at; the store survives that."""
    sys.stderr.write(f"harness: {text}\n")
    sys.stderr.flush()
    os._exit(OverBudget.exit_code)


def _data_gb() -> float:
    """What the limit is held against: the data of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e9


@contextmanager
def memory_limit(gigabytes: float | None) -> Iterator[None]:
    """Refuse this process, and each that it starts, more memory of its own than that.

    Raises:
        UsageError: the system offers no such limit, or no stage could run within it.
    """
    if gigabytes is None:
        yield
        return
    if not sys.platform.startswith("linux"):
        raise UsageError("--limit-memory-gb: only Linux enforces such a limit")
    import resource

    import torch  # noqa: F401 (most of what a process needs before it computes)

    used = _data_gb()
    if gigabytes < used + SPARE_GB:
        raise UsageError(
            f"--limit-memory-gb {gigabytes:g} is too small: a process has {used:.2f} GB before "
            f"it computes anything; allow at least {used + SPARE_GB:.2f} and what the model needs"
        )
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (int(gigabytes * 1e9), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
