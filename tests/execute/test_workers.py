"""Worker processes that the system kills: what they were at is done again, once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from execute import dying

from harness.errors import HarnessError
from harness.execute.workers import Processes, processes
from harness.execute.workers.events import Computed, Event, Failed, Stopped


class Group:
    """Workers that die when they are told to, and what they said."""

    def __init__(self, folder: Path, unborn: bool = False) -> None:
        self.stop, self.notes = threading.Event(), list[str]()
        spec: dict[str, Any] = {"folder": str(folder), "unborn": unborn}
        options: Any = SimpleNamespace(jobs=2)
        self.workers = Processes(spec, options, self.stop, self.notes.append)

    def start(self, key: str) -> None:
        stage: Any = SimpleNamespace(key=key, inputs=())
        self.workers.start([stage])

    def event(self) -> Event:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if (event := self.workers.next_event(0.1)) is not None:
                return event
        raise TimeoutError


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Group]:
    monkeypatch.setattr(processes, "_serve", dying.serve)
    made = Group(tmp_path)
    yield made
    for worker in made.workers.workers:
        worker.process.kill()
    made.workers.close()


def test_the_stage_of_a_worker_that_was_killed_is_computed_again_once(group: Group) -> None:
    group.start("dies1")
    assert group.event() == Computed("dies1", 0.0)
    [note] = group.notes
    assert "died (exit code -9" in note and "started again" in note
    assert not any(worker.keys for worker in group.workers.workers)

    group.start("dies5")
    failed = group.event()
    assert isinstance(failed, Failed)
    assert "died twice (exit code -9" in failed.message
    group.start("next")  # the others go on
    assert group.event() == Computed("next", 0.0)


def test_a_worker_that_was_told_to_stop_and_is_killed_is_not_started_again(group: Group) -> None:
    group.start("waits")
    group.stop.set()
    assert group.event() == Stopped("waits")
    group.start("dies9")
    assert group.event() == Stopped("dies9")
    assert not group.notes


def test_workers_that_cannot_start_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_serve", dying.serve)
    made = Group(tmp_path, unborn=True)
    with pytest.raises(HarnessError, match="died twice while it started"):
        made.event()
    made.workers.close()
