"""Worker processes for tests, which import nothing heavy and die when they are told to."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from harness.execute.workers.events import Computed, Stopped
from harness.execute.workers.processes import READY, STOP


def serve(spec: Any, options: Any, number: int, pipe: Any) -> None:
    """Answer to each key; ``dies`` and a number kills the process so many times."""
    if spec["unborn"]:
        os.kill(os.getpid(), signal.SIGKILL)
    pipe.send(READY)
    while (keys := pipe.recv()) is not None:
        key = keys if keys == STOP else keys[0]
        if key.startswith("dies"):
            notes = Path(spec["folder"]) / key
            before = notes.read_text() if notes.exists() else ""
            notes.write_text(before + "x")
            if len(before) < int(key.removeprefix("dies")):
                os.kill(os.getpid(), signal.SIGKILL)
        if key == "waits":
            assert pipe.recv() == STOP
            pipe.send(Stopped(key))
        elif key != STOP:
            pipe.send(Computed(key, 0.0))
