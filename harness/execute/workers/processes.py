"""Computes in several processes that start afresh."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from harness.errors import HarnessError
from harness.execute.workers.attempt import attempt
from harness.execute.workers.events import Event, Failed, Imported, Stepped, Stopped
from harness.plan.stage import Stage
from harness.stages.options import Options
from harness.stages.watch import StopFlag

READY, STOP = "ready", "stop"


class Processes:
    """Computes on ``options.jobs`` processes, each of which compiles the same plan again.

    Each has a pipe of its own, because the lock of a queue would stay with a process that is
    killed, and needs shared memory, which some containers lack. A process that dies is started
    again, and so is its stage, once.
    """

    def __init__(
        self,
        spec: Mapping[str, Any],
        options: Options,
        stop: StopFlag,
        note: Callable[[str], None],
    ) -> None:
        self.spec, self.options, self.stop, self.note = spec, options, stop, note
        self.repeated: set[str] = set()
        self.asked_to_stop = False
        self.workers = [_Worker(spec, options, i) for i in range(options.jobs)]

    def idle(self) -> int:
        return sum(worker.key is None for worker in self.workers)

    def start(self, stage: Stage) -> None:
        next(worker for worker in self.workers if worker.key is None).start(stage.key)

    def next_event(self, timeout: float) -> Event | None:
        if self.stop.is_set() and not self.asked_to_stop:
            self.asked_to_stop = True
            for worker in self.workers:
                worker.say(STOP)
        heard = wait([worker.pipe for worker in self.workers], timeout)
        if not heard:
            return None
        worker = next(worker for worker in self.workers if worker.pipe in heard)
        try:
            event = worker.pipe.recv()
        except (EOFError, OSError):
            return self._died(worker)
        if event == READY:
            worker.ready = True
            return None
        if not isinstance(event, Stepped | Imported):
            worker.key = None
        found: Event = event
        return found

    def _died(self, dead: _Worker) -> Event | None:
        dead.process.join()
        self.workers.remove(dead)
        if self.stop.is_set():
            return Stopped(dead.key) if dead.key else None
        why = f"(exit code {dead.process.exitcode}; -9 often means that memory ran out)"
        if dead.again and not dead.ready:
            raise HarnessError(
                f"a worker process died twice while it started {why}; finished stages are kept, "
                "run the same command to go on"
            )
        self.workers.append(fresh := _Worker(self.spec, self.options, dead.number, again=True))
        if dead.key in self.repeated:
            return Failed(dead.key, f"its worker process died twice {why}", "", "StageFailed")
        self.note(f"a worker process died {why}; it is started again")
        if dead.key is not None:
            self.repeated.add(dead.key)
            fresh.start(dead.key)
        return None

    def close(self) -> None:
        for worker in self.workers:
            worker.say(None)
        try:
            for worker in self.workers:
                worker.process.join(timeout=5)
        finally:
            for worker in self.workers:
                worker.process.kill()


class _Worker:
    """A process, the pipe to it, and the stage that it is at."""

    def __init__(
        self, spec: Mapping[str, Any], options: Options, number: int, again: bool = False
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.number, self.again, self.ready = number, again, False
        self.key: str | None = None
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=_serve, args=(spec, options, number, theirs), daemon=True
        )
        self.process.start()
        theirs.close()  # the pipe ends with the process, which has the only other copy

    def start(self, key: str) -> None:
        self.key = key
        self.say(key)

    def say(self, word: str | None) -> None:
        with suppress(OSError):  # it died, which the pipe's end says
            self.pipe.send(word)


def _serve(spec: Mapping[str, Any], options: Options, number: int, pipe: Connection) -> None:
    """The main function of a worker process."""
    for number_of in (signal.SIGINT, signal.SIGTERM):  # a group gets them; the parent answers
        signal.signal(number_of, signal.SIG_IGN)
    inbox: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    stop = threading.Event()
    threading.Thread(target=_listen, args=(pipe, inbox, stop), daemon=True).start()

    from harness.execute.environment import imported
    from harness.plan.protocol import compile_plan
    from harness.spec.structure import structure
    from harness.stages.world import World

    stages = compile_plan(structure(spec)).stages
    world = World(options.for_worker(number))
    known: set[str] = set()
    pipe.send(READY)
    while (key := inbox.get()) is not None:

        def progress(done: int, total: int, loss: float | None, key: str = key) -> None:
            pipe.send(Stepped(key, done, total, loss))

        end = attempt(stages[key], world, progress, stop)
        if fresh := imported() - known:
            pipe.send(Imported(key, frozenset(fresh)))
            known |= fresh
        pipe.send(end)


def _listen(pipe: Connection, inbox: queue.SimpleQueue[str | None], stop: threading.Event) -> None:
    """Pass on what the parent says. A worker without a parent ends."""
    try:
        while True:
            word = pipe.recv()
            stop.set() if word == STOP else inbox.put(word)
    except (EOFError, OSError):
        os._exit(1)
