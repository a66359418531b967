"""Where stages are computed: in this process, or in several that start afresh.

Both kinds take a stage key and answer with events, so that one dispatcher serves both:
``("step", key, done, total, loss)`` and ``("imported", key, names)`` (modules that a process has
imported since it last said so), then exactly one of ``("done", key, seconds)``,
``("there", key, seconds)`` (another run has computed it), ``("busy", key, seconds)`` (another run
is at it), ``("failed", key, message, trace, error)``, ``("damaged", key, damaged_key, message)`` or
``("interrupted", key)``.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from harness.errors import HarnessError, IntegrityError, Interrupted, OverBudget, RemoteError
from harness.plan.stage import Stage
from harness.stages.options import Options

Event = tuple[Any, ...]


class StopFlag(Protocol):
    """A threading or multiprocessing event."""

    def is_set(self) -> bool: ...
    def set(self) -> None: ...


def attempt(stage: Stage, world: Any, emit: Callable[[Event], None], stop: StopFlag) -> Event:
    """Compute ``stage`` unless another run is at it, and say what came of it."""
    from harness.stages.compute import compute
    from harness.stages.world import DamagedInput

    begun = time.monotonic()
    try:

        def progress(done: int, total: int, loss: float | None) -> None:
            emit(("step", stage.key, done, total, loss))

        outcome = compute(stage, world, progress, stop)
    except Interrupted:
        return ("interrupted", stage.key)
    except DamagedInput as damaged:
        return ("damaged", stage.key, damaged.key, str(damaged))
    except (IntegrityError, OverBudget, RemoteError) as error:
        return ("failed", stage.key, str(error), "", type(error).__name__)
    except HarnessError as error:
        return ("failed", stage.key, str(error), "", "StageFailed")
    except Exception as error:
        if _out_of_memory(error):
            return ("failed", stage.key, f"memory ran out ({error})", "", "StageFailed")
        shown = f"{type(error).__name__}: {error}"
        return ("failed", stage.key, shown, traceback.format_exc(), "StageFailed")
    return (outcome, stage.key, time.monotonic() - begun)


def _out_of_memory(error: Exception) -> bool:
    """Whether Python, torch's processor part or an accelerator could not allocate."""
    words = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


class Workers(Protocol):
    """Takes stages and answers with events."""

    def idle(self) -> int: ...
    def start(self, stage: Stage) -> None: ...
    def next_event(self, timeout: float) -> Event | None: ...
    def close(self) -> None: ...


class Here:
    """Computes one stage at a time in this process."""

    def __init__(self, options: Options, emit: Callable[[Event], None], stop: StopFlag) -> None:
        from harness.stages.world import World

        self.world = World(options)
        self.emit, self.stop = emit, stop
        self.events: deque[Event] = deque()

    def idle(self) -> int:
        return 0 if self.events else 1

    def start(self, stage: Stage) -> None:
        self.events.append(attempt(stage, self.world, self.emit, self.stop))

    def next_event(self, timeout: float) -> Event | None:
        if self.events:
            return self.events.popleft()
        time.sleep(timeout)
        return None

    def close(self) -> None: ...


class Processes:
    """Computes on ``options.jobs`` processes, each of which compiles the same plan again."""

    def __init__(self, spec: Mapping[str, Any], options: Options, stop: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.inbox: Any = context.Queue()
        self.outbox: Any = context.Queue()
        self.running = 0
        self.processes = [
            context.Process(
                target=_serve, args=(spec, options, i, self.inbox, self.outbox, stop), daemon=True
            )
            for i in range(options.jobs)
        ]
        for process in self.processes:
            process.start()

    def idle(self) -> int:
        return len(self.processes) - self.running

    def start(self, stage: Stage) -> None:
        self.running += 1
        self.inbox.put(stage.key)

    def next_event(self, timeout: float) -> Event | None:
        try:
            event: Event = self.outbox.get(timeout=timeout)
        except queue.Empty:
            self._check_alive()
            return None
        if event[0] not in ("step", "imported"):
            self.running -= 1
        return event

    def _check_alive(self) -> None:
        for process in self.processes:
            if process.exitcode is not None:
                raise HarnessError(
                    f"a worker process died (exit code {process.exitcode}; -9 often means that "
                    "memory ran out); finished stages are kept, run the same command to go on"
                )

    def close(self) -> None:
        for _ in self.processes:
            self.inbox.put(None)
        for process in self.processes:
            process.join(timeout=5)
            if process.exitcode is None:
                process.kill()


def _serve(
    spec: Mapping[str, Any], options: Options, number: int, inbox: Any, outbox: Any, stop: Any
) -> None:
    """The main function of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()

    from harness.execute.environment import imported
    from harness.plan.protocol import compile_plan
    from harness.spec.structure import structure
    from harness.stages.world import World

    stages = compile_plan(structure(spec)).stages
    world = World(options.for_worker(number))
    known: set[str] = set()
    while (key := inbox.get()) is not None:
        event = attempt(stages[key], world, outbox.put, stop)
        if fresh := imported() - known:
            outbox.put(("imported", key, fresh))
            known |= fresh
        outbox.put(event)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
