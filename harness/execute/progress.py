"""What a user sees of a run: a live display, plain lines, and a JSON log."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from harness.plan.stage import Stage


class Display(Protocol):
    """Something that is told what happens in a run."""

    def planned(self, total: int, left: int) -> None: ...
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


class _Silent:
    """Says nothing; what the others build on."""

    def planned(self, total: int, left: int) -> None: ...
    def started(self, stage: Stage) -> None: ...
    def stepped(self, stage: Stage, done: int, total: int, loss: float | None) -> None: ...
    def finished(self, stage: Stage, seconds: float) -> None: ...
    def found(self, stage: Stage) -> None: ...
    def failed(self, stage: Stage, error: str) -> None: ...
    def note(self, text: str) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None: ...


class Live(_Silent):
    """A live display for a terminal: the whole run, and each running stage with its loss."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self.running: dict[str, Any] = {}

    def planned(self, total: int, left: int) -> None:
        detail = f"{total - left} cached"
        self.all = self.bars.add_task("stages", total=left, detail=detail)

    def started(self, stage: Stage) -> None:
        self.running[stage.key] = self.bars.add_task(escape(stage.name), total=None, detail="")

    def stepped(self, stage: Stage, done: int, total: int, loss: float | None) -> None:
        detail = "" if loss is None else f"loss {loss:.3f}"
        self.bars.update(self.running[stage.key], completed=done, total=total, detail=detail)

    def finished(self, stage: Stage, seconds: float) -> None:
        self._remove(stage)
        self.bars.advance(self.all)

    def found(self, stage: Stage) -> None:
        self.finished(stage, 0.0)

    def failed(self, stage: Stage, error: str) -> None:
        self._remove(stage)
        self.note(f"failed: {stage.name}: {error}")

    def note(self, text: str) -> None:
        self.console.print(escape(text), highlight=False)

    def _remove(self, stage: Stage) -> None:
        if stage.key in self.running:
            self.bars.remove_task(self.running.pop(stage.key))

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.bars.stop()


class Lines(_Silent):
    """One line for each finished stage: for logs and pipes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.done = self.left = 0
        self.begun = time.monotonic()

    def planned(self, total: int, left: int) -> None:
        self.left = left
        self.note(f"{total} stages, {total - left} cached, {left} to compute")

    def finished(self, stage: Stage, seconds: float) -> None:
        self.done += 1
        pace = (time.monotonic() - self.begun) / self.done
        rest = max(self.left - self.done, 0) * pace
        self.note(
            f"[{self.done}/{self.left}] {stage.name} {seconds:.1f} s, about {rest:.0f} s left"
        )

    def found(self, stage: Stage) -> None:
        self.done += 1

    def failed(self, stage: Stage, error: str) -> None:
        self.note(f"failed: {stage.name}: {error}")

    def note(self, text: str) -> None:
        print(text, file=self.stream, flush=True)


class JsonLog(_Silent):
    """Each event as one JSON object a line, for machines."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.stream = file.open("a", encoding="utf-8")

    def _write(self, event: str, **facts: Any) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.stream.write(json.dumps({"at": at, "event": event, **facts}) + "\n")
        self.stream.flush()

    def planned(self, total: int, left: int) -> None:
        self._write("planned", total=total, left=left)

    def started(self, stage: Stage) -> None:
        self._write("started", kind=stage.kind, key=stage.key, name=stage.name)

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
        self.stream.close()


class Several(_Silent):
    """Tells several displays."""

    def __init__(self, *displays: Display) -> None:
        self.displays = displays

    def planned(self, total: int, left: int) -> None:
        for display in self.displays:
            display.planned(total, left)

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


def display(json_log: Path | None) -> Display:
    """The display that fits standard error, and the JSON log where one is asked for."""
    console = Console(stderr=True)
    shown: Display = Live(console) if console.is_terminal else Lines()
    return Several(shown, JsonLog(json_log)) if json_log else shown
