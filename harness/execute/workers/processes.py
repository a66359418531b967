"""Computes in several processes that start afresh."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Mapping
from typing import Any

from harness.errors import HarnessError
from harness.execute.workers.attempt import attempt
from harness.execute.workers.events import Event, Imported, Stepped
from harness.plan.stage import Stage
from harness.stages.options import Options


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
        if not isinstance(event, Stepped | Imported):
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

        def progress(done: int, total: int, loss: float | None, key: str = key) -> None:
            outbox.put(Stepped(key, done, total, loss))

        end = attempt(stages[key], world, progress, stop)
        if fresh := imported() - known:
            outbox.put(Imported(key, frozenset(fresh)))
            known |= fresh
        outbox.put(end)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
