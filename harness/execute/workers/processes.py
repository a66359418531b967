"""Computes in several processes that start afresh."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from harness.errors import HarnessError
from harness.execute.workers.attempt import attempts
from harness.execute.workers.events import Event, Failed, Imported, Stepped, Stopped
from harness.plan.stage import Stage
from harness.stages.options import Options
from harness.stages.watch import StopFlag

READY, STOP = "ready", "stop"
Inbox = queue.SimpleQueue[list[str] | None]


class Processes:
    """Computes on ``options.jobs`` processes, each of which compiles the same plan again.

    Each has a pipe of its own, because the lock of a queue would stay with a process that is
    killed, and needs shared memory, which some containers lack. A process that dies is started
    again, and so are its stages, once.
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
        self.events: deque[Event] = deque()
        self.count = options.jobs
        self.workers = [_Worker(spec, options, i) for i in range(options.jobs)]

    def at_hand(self) -> Collection[str] | None:
        return next((worker.held for worker in self.workers if not worker.keys), None)

    def start(self, stages: Sequence[Stage]) -> None:
        idle = next(worker for worker in self.workers if not worker.keys)
        idle.held = {key for stage in stages for key in (stage.key, *dict(stage.inputs).values())}
        idle.start([stage.key for stage in stages])

    def next_event(self, timeout: float) -> Event | None:
        if self.events:
            return self.events.popleft()
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
            worker.keys.remove(event.key)
        found: Event = event
        return found

    def _died(self, dead: _Worker) -> Event | None:
        dead.process.join()
        self.workers.remove(dead)
        if self.stop.is_set():
            self.events += [Stopped(key) for key in dead.keys]
            return self.events.popleft() if self.events else None
        why = f"(exit code {dead.process.exitcode}; -9 often means that memory ran out)"
        if dead.again and not dead.ready:
            raise HarnessError(
                f"a worker process died twice while it started {why}; finished stages are kept, "
                "run the same command to go on"
            )
        self.workers.append(fresh := _Worker(self.spec, self.options, dead.number, again=True))
        if self.repeated.intersection(dead.keys):
            what = f"its worker process died twice {why}"
            self.events += [Failed(key, what, "", "StageFailed") for key in dead.keys]
            return self.events.popleft()
        self.note(f"a worker process died {why}; it is started again")
        if dead.keys:
            self.repeated.update(dead.keys)
            fresh.start(dead.keys)
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
    """A process, the pipe to it, and the stages that it is at."""

    def __init__(
        self, spec: Mapping[str, Any], options: Options, number: int, again: bool = False
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.number, self.again, self.ready = number, again, False
        self.keys: list[str] = []
        self.held: Collection[str] = ()
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=_serve, args=(spec, options, number, theirs), daemon=True
        )
        self.process.start()
        theirs.close()  # the pipe ends with the process, which has the only other copy

    def start(self, keys: list[str]) -> None:
        self.keys = list(keys)
        self.say(keys)

    def say(self, word: list[str] | str | None) -> None:
        with suppress(OSError):  # it died, which the pipe's end says
            self.pipe.send(word)


def _serve(spec: Mapping[str, Any], options: Options, number: int, pipe: Connection) -> None:
    """The main function of a worker process."""
    for number_of in (signal.SIGINT, signal.SIGTERM):  # a group gets them; the parent answers
        signal.signal(number_of, signal.SIG_IGN)
    # A thread that waits leaves its processor to the other workers (benchmarks/jobs.py).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    inbox: Inbox = queue.SimpleQueue()
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
    while (keys := inbox.get()) is not None:
        ends = attempts([stages[key] for key in keys], world, pipe.send, stop)
        if fresh := imported() - known:
            pipe.send(Imported(keys[0], frozenset(fresh)))
            known |= fresh
        for end in ends:
            pipe.send(end)


def _listen(pipe: Connection, inbox: Inbox, stop: threading.Event) -> None:
    """Pass on what the parent says. A worker without a parent ends."""
    try:
        while True:
            word = pipe.recv()
            stop.set() if word == STOP else inbox.put(word)
    except (EOFError, OSError):
        os._exit(1)
