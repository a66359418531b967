"""Computes in several processes that start afresh."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import HarnessError
from harness.execute.workers.attempt import attempts
from harness.execute.workers.events import Event, Imported, Stepped
from harness.plan.stage import Stage
from harness.stages.options import Options


class Processes:
    """Computes on ``options.jobs`` processes, each of which compiles the same plan again."""

    def __init__(self, spec: Mapping[str, Any], options: Options, stop: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.inbox: Any = context.Queue()
        self.outbox: Any = context.Queue()
        self.running: list[set[str]] = []  # what each busy process computes
        self.processes = [
            context.Process(
                target=_serve, args=(spec, options, i, self.inbox, self.outbox, stop), daemon=True
            )
            for i in range(options.jobs)
        ]
        for process in self.processes:
            process.start()

    def idle(self) -> int:
        return len(self.processes) - len(self.running)

    def start(self, stages: Sequence[Stage]) -> None:
        keys = [stage.key for stage in stages]
        self.running.append(set(keys))
        self.inbox.put(keys)

    def next_event(self, timeout: float) -> Event | None:
        try:
            event: Event = self.outbox.get(timeout=timeout)
        except queue.Empty:
            self._check_alive()
            return None
        if not isinstance(event, Stepped | Imported):
            left = [keys - {event.key} for keys in self.running]
            self.running = [keys for keys in left if keys]
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
    while (keys := inbox.get()) is not None:
        ends = attempts([stages[key] for key in keys], world, outbox.put, stop)
        if fresh := imported() - known:
            outbox.put(Imported(keys[0], frozenset(fresh)))
            known |= fresh
        for end in ends:
            outbox.put(end)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
