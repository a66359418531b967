"""Hands stages to workers until none is left, and answers to what comes back."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping

from harness.errors import IntegrityError, Interrupted, OverBudget
from harness.execute.pace import Pace
from harness.execute.pending import Pending
from harness.execute.progress import Display
from harness.execute.records import Records, is_measurement, reported
from harness.execute.replicas import alike, most_together
from harness.execute.retention import Retention
from harness.execute.workers import Workers
from harness.execute.workers.events import (
    Computed,
    Event,
    Failed,
    Found,
    Imported,
    InputDamaged,
    Locked,
    Stepped,
    Stopped,
)
from harness.plan.cost import flops_of
from harness.plan.kinds import kind_of
from harness.plan.plan import Plan
from harness.plan.stage import Stage
from harness.stages.options import Options
from harness.stages.watch import StopFlag
from harness.store import Store

POLL_SECONDS = 0.2
MOST_REDONE = 2  # times that a run computes one stage again because it is damaged


class Dispatcher:
    """The state of one run over one store."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        records: Records,
        options: Options,
        display: Display,
        stop: StopFlag,
    ) -> None:
        """``records`` are those of the measurements that ``store`` has, by key."""
        self.plan, self.store, self.records, self.options = plan, store, records, options
        self.display, self.stop = display, stop
        self.alike = {} if options.replicas == 1 else alike(plan)
        self.graph = Pending(plan, reported(plan), self._has, late=self.alike.keys())
        self.retention = Retention(plan)
        self.elsewhere: set[str] = set()
        self.running: set[str] = set()
        self.errors: dict[str, str] = {}
        self.traces: dict[str, str] = {}
        self.imported: set[str] = set()  # by other processes, the outermost names of modules
        self.worked = 0.0
        self.computed = 0
        self.redone: Counter[str] = Counter()
        for key in self.records:
            self._measured(key)

    def _has(self, stage: Stage, *, tensors: bool) -> bool:
        return self.store.has(stage.kind, stage.key, tensors=tensors and kind_of(stage).tensors)

    def run(self, start_workers: Callable[[], Workers]) -> None:
        """Compute everything that is missing. Raises Interrupted or OverBudget at the end."""
        missing = (self.plan.stages[key] for key in self.graph.missing)
        self.pace = Pace({stage.key: flops_of(stage) for stage in missing})
        self.display.planned(len(self.plan.stages), len(self.graph), self.pace)
        if not self.graph:
            return
        workers = start_workers()
        try:
            while len(self.graph) or self.running:
                self._hand_out(workers)
                if not self.running and (self.stop.is_set() or not len(self.graph)):
                    break
                event = workers.next_event(POLL_SECONDS)
                if event is not None:
                    self.answer(event)
        finally:
            workers.close()
        if self.stop.is_set():
            self._explain_stop()

    def _explain_stop(self) -> None:
        left = len(self.graph)
        if self._over_budget():
            raise OverBudget(
                f"the budget of the spec is spent with {left} stages left; finished work is kept. "
                "Raise 'budget' (or --set budget.cpu_hours=...) and run the same command to go on"
            )
        if not self.graph.failed or not self.options.fail_fast:
            raise Interrupted(
                f"stopped with {left} stages left; finished work is kept. "
                "Run the same command to go on"
            )

    def _hand_out(self, workers: Workers) -> None:
        while (held := workers.at_hand()) is not None and not self.stop.is_set():
            key = self.graph.take(held, workers.count)
            if key is None:
                self._look_elsewhere()
                return
            stage = self.plan.stages[key]
            # Another run over this store may have measured what this stage was for, and dropped it.
            if not self.graph.wanted(key):
                self.display.found(stage)
                self._finished(key)
                continue
            stages = [stage]
            if key in self.alike:
                others = (k for k in self.alike[key] if k != key and k not in self.running)
                most = most_together(stage.cell, self.options) - 1
                stages += (self.plan.stages[k] for k in self.graph.take_also(others, most))
            for each in stages:
                self.running.add(each.key)
                self.display.started(each)
            workers.start(stages)

    def _look_elsewhere(self) -> None:
        """Ask again for the stages that another run was at, once nothing else is left."""
        if self.running or not self.elsewhere:
            return
        # Nothing tells one run that another is done but the store; a run that died lets go of its
        # locks, and its stages are computed here.
        time.sleep(POLL_SECONDS)
        waiting, self.elsewhere = self.elsewhere, set()
        for key in waiting:
            if self._has(self.plan.stages[key], tensors=True):
                self.display.found(self.plan.stages[key])
                self._finished(key)
            else:
                self.graph.put_back(key)

    def answer(self, event: Event) -> None:
        """React to one event of a worker."""
        stage = self.plan.stages[event.key]
        # Only these two leave their stage running; every other event is its last.
        if not isinstance(event, Stepped | Imported):
            self.running.discard(event.key)
        match event:
            case Stepped(done=done, total=total, loss=loss):
                self.pace.reached(event.key, done / max(total, 1))
                self.display.stepped(stage, done, total, loss)
            case Imported(modules=modules):
                self.imported |= modules
            case Computed(key=key, seconds=seconds):
                self._computed(key, seconds)
            case Found(key=key):
                self.display.found(stage)
                self._finished(key)
            case Locked(key=key):
                if not self.elsewhere:  # said once, not for each stage of the other run
                    name = self.plan.describe(key)
                    self.display.note(f"another run is computing {name}; going on elsewhere")
                self.elsewhere.add(key)
            case InputDamaged(key=key, damaged=damaged, message=message):
                self._redo(damaged, key, message)
            case Stopped(key=key):
                self.graph.put_back(key)
            case Failed():
                self._failed(event)

    def _redo(self, damaged: str, reader: str, message: str) -> None:
        """``damaged`` was set aside: compute it again before ``reader`` is, which may be itself."""
        known = damaged in self.graph.missing  # another reader has found it damaged, too
        self.redone[damaged] += not known
        message = f"{self.plan.describe(damaged)}: {message}"
        if self.redone[damaged] > MOST_REDONE:
            often = f"{message}. It was computed {MOST_REDONE} times again: look at the disk"
            self._failed(Failed(reader, often, "", IntegrityError.__name__))
            return
        if not known:
            self.display.note(f"{message}; it is set aside and computed again")
        self.graph.redo(damaged, reader)

    def _computed(self, key: str, seconds: float) -> None:
        self.worked += seconds
        self.computed += 1
        self.pace.ended(key, computed=True)
        self.display.finished(self.plan.stages[key], seconds)
        self._finished(key)
        # The budget is checked after a stage, not in it: what was paid for is kept.
        if self._over_budget():
            self.stop.set()

    def _failed(self, event: Failed) -> None:
        self.errors[event.key], self.traces[event.key] = event.error, event.trace
        self.display.failed(self.plan.stages[event.key], event.message)
        for key in (event.key, *self.graph.fail(event.key, event.message)):
            self.pace.ended(key, computed=False)
        if self.options.fail_fast:
            self.stop.set()

    def _finished(self, key: str) -> None:
        stage = self.plan.stages[key]
        self.pace.ended(key, computed=False)  # unless it was computed, and has ended
        self.graph.finish(key)
        if not is_measurement(stage):
            for read in (key, *(source for _, source in stage.inputs)):
                self._drop_if_loose(read)
            return
        try:
            self.records[key] = self.store.record(stage.kind, key)
        except IntegrityError as error:
            self.store.set_aside(stage.kind, key)
            self._redo(key, key, str(error))
        else:
            self._measured(key)

    def _measured(self, key: str) -> None:
        for loose in self.retention.finished(key, self.metrics_of):
            self._drop_if_loose(loose)
        for _, source in self.plan.stages[key].inputs:  # what it was compared with
            self._drop_if_loose(source)

    def _drop_if_loose(self, key: str) -> None:
        # A grid of candidates would fill a disk with weights that nobody chose. They stay while a
        # stage still reads them, and can be computed again from the record's key.
        if self.retention.is_loose(key) and not self.graph.needed_later(key):
            self.store.drop_tensors(self.plan.stages[key].kind, key)

    def metrics_of(self, key: str) -> Mapping[str, float]:
        """The values that a finished stage measured."""
        metrics: Mapping[str, float] = self.records[key]["metrics"]
        return metrics

    def _over_budget(self) -> bool:
        hours = self.worked / 3600
        on_gpu = any(device.startswith("cuda") for device in self.options.devices)
        limit = self.options.gpu_hours if on_gpu else self.options.cpu_hours
        return limit is not None and hours > limit
