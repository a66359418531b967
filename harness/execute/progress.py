"""What a user sees of a run: a live display, plain lines, and a JSON log."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from harness.execute.pace import Pace, duration
from harness.plan.stage import Stage

Names = Callable[[str], str]  # what a stage is called, by its key
WIDE = 100  # columns, below which the names of stages need the place of bars
SILENT = 60.0  # seconds after which a log says how far a stage is


class Display(Protocol):
    """Something that is told what happens in a run."""

    def planned(self, total: int, left: int, pace: Pace) -> None: ...
    def started(self, stage: Stage) -> None: ...
    def stepped(self, stage: Stage, done: int, total: int, loss: float | None) -> None: ...
    def finished(self, stage: Stage, seconds: float) -> None: ...
    def found(self, stage: Stage) -> None: ...
    def failed(self, stage: Stage, error: str) -> None: ...
    def note(self, text: str) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Silent:
    """Says nothing; what the others build on."""

    def planned(self, total: int, left: int, pace: Pace) -> None: ...
    def started(self, stage: Stage) -> None: ...
    def stepped(self, stage: Stage, done: int, total: int, loss: float | None) -> None: ...
    def finished(self, stage: Stage, seconds: float) -> None: ...
    def found(self, stage: Stage) -> None: ...
    def failed(self, stage: Stage, error: str) -> None: ...
    def note(self, text: str) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None: ...


class Live(Silent):
    """A live display for a terminal: the whole run, and each running stage with its loss."""

    def __init__(self, names: Names, console: Console) -> None:
        self.names, self.console = names, console
        self.bars = Progress(
            TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True)),
            *([BarColumn(16)] if console.width >= WIDE else []),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            expand=True,
            console=console,
        )
        self.running: dict[str, Any] = {}

    def planned(self, total: int, left: int, pace: Pace) -> None:
        self.pace = pace
        self.all = self.bars.add_task(f"stages, {total - left} cached", total=left, detail="")

    def started(self, stage: Stage) -> None:
        self.running[stage.key] = self.bars.add_task(
            escape(self.names(stage.key)), total=None, detail=""
        )

    def stepped(self, stage: Stage, done: int, total: int, loss: float | None) -> None:
        detail = "" if loss is None else f"loss {loss:.3f}"
        self.bars.update(self.running[stage.key], completed=done, total=total, detail=detail)
        self._guess()

    def finished(self, stage: Stage, seconds: float) -> None:
        self._remove(stage)
        self.bars.advance(self.all)
        self._guess()

    def found(self, stage: Stage) -> None:
        self.finished(stage, 0.0)

    def failed(self, stage: Stage, error: str) -> None:
        self._remove(stage)
        self.note(f"failed: {self.names(stage.key)}: {error}")

    def note(self, text: str) -> None:
        self.console.print(escape(text), highlight=False)

    def _guess(self) -> None:
        seconds = self.pace.seconds_left()
        self.bars.update(self.all, detail="" if seconds is None else f"{duration(seconds)} left")

    def _remove(self, stage: Stage) -> None:
        if stage.key in self.running:
            self.bars.remove_task(self.running.pop(stage.key))

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.bars.stop()


class Lines(Silent):
    """One line for each finished stage, and one a minute for a long one: for logs and pipes."""

    def __init__(self, names: Names, stream: TextIO | None = None) -> None:
        self.names, self.stream = names, stream or sys.stderr
        self.done = self.left = 0
        self.said: dict[str, float] = {}  # when each running stage last had a line

    def planned(self, total: int, left: int, pace: Pace) -> None:
        self.left, self.pace = left, pace
        self.note(f"{total} stages, {total - left} cached, {left} to compute")

    def started(self, stage: Stage) -> None:
        self.said[stage.key] = time.monotonic()

    def stepped(self, stage: Stage, done: int, total: int, loss: float | None) -> None:
        now = time.monotonic()
        if now - self.said[stage.key] >= SILENT:
            self.said[stage.key] = now
            detail = "" if loss is None else f", loss {loss:.3f}"
            self.note(f"  {self.names(stage.key)}: {done} of {total}{detail}")

    def finished(self, stage: Stage, seconds: float) -> None:
        self.done += 1
        guess = self.pace.seconds_left()
        rest = "" if guess is None else f", about {duration(guess)} left"
        name = self.names(stage.key)
        self.note(f"[{self.done}/{self.left}] {name} {seconds:.1f} s{rest}")

    def found(self, stage: Stage) -> None:
        self.done += 1

    def failed(self, stage: Stage, error: str) -> None:
        self.note(f"failed: {self.names(stage.key)}: {error}")

    def note(self, text: str) -> None:
        with suppress(OSError):  # a full disk, or nobody who reads: the run goes on
            print(text, file=self.stream, flush=True)


class JsonLog(Silent):
    """Each event as one JSON object a line, for machines."""

    def __init__(self, names: Names, file: Path) -> None:
        self.names = names
        file.parent.mkdir(parents=True, exist_ok=True)
        self.stream = file.open("a", encoding="utf-8")

    def _write(self, event: str, **facts: Any) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        if self.stream.closed:
            return
        try:
            self.stream.write(json.dumps({"at": at, "event": event, **facts}) + "\n")
            self.stream.flush()
        except OSError as problem:
            with suppress(OSError):
                self.stream.close()
            with suppress(OSError):
                print(f"the JSON log ends here: {problem.strerror}", file=sys.stderr, flush=True)

    def planned(self, total: int, left: int, pace: Pace) -> None:
        self._write("planned", total=total, left=left)

    def started(self, stage: Stage) -> None:
        self._write("started", kind=stage.kind, key=stage.key, name=self.names(stage.key))

    def stepped(self, stage: Stage, done: int, total: int, loss: float | None) -> None:
        self._write("step", key=stage.key, done=done, total=total, loss=loss)

    def finished(self, stage: Stage, seconds: float) -> None:
        self._write("finished", kind=stage.kind, key=stage.key, seconds=round(seconds, 3))

    def found(self, stage: Stage) -> None:
        self._write("found", kind=stage.kind, key=stage.key)

    def failed(self, stage: Stage, error: str) -> None:
        self._write("failed", kind=stage.kind, key=stage.key, error=error)

    def note(self, text: str) -> None:
        self._write("note", text=text)

    def __exit__(self, *_: Any) -> None:
        with suppress(OSError):
            self.stream.close()


class Several(Silent):
    """Tells several displays."""

    def __init__(self, *displays: Display) -> None:
        self.displays = displays

    def planned(self, total: int, left: int, pace: Pace) -> None:
        for display in self.displays:
            display.planned(total, left, pace)

    def started(self, stage: Stage) -> None:
        for display in self.displays:
            display.started(stage)

    def stepped(self, stage: Stage, done: int, total: int, loss: float | None) -> None:
        for display in self.displays:
            display.stepped(stage, done, total, loss)

    def finished(self, stage: Stage, seconds: float) -> None:
        for display in self.displays:
            display.finished(stage, seconds)

    def found(self, stage: Stage) -> None:
        for display in self.displays:
            display.found(stage)

    def failed(self, stage: Stage, error: str) -> None:
        for display in self.displays:
            display.failed(stage, error)

    def note(self, text: str) -> None:
        for display in self.displays:
            display.note(text)

    def __enter__(self) -> Self:
        for display in self.displays:
            display.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        for display in self.displays:
            display.__exit__(*error)


def display(names: Names, json_log: Path | None, *more: Display) -> Display:
    """The display that fits standard error, the JSON log where one is asked for, and ``more``."""
    console = Console(stderr=True)
    shown: Display = Live(names, console) if console.is_terminal else Lines(names)
    log = [JsonLog(names, json_log)] if json_log else []
    return Several(shown, *log, *more)
