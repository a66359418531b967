"""Puts the artifact of one stage into the store: what all kinds have in common."""

from __future__ import annotations

from typing import Literal

from harness.lazy import torch
from harness.plan.kinds import kind_of, sources_of
from harness.plan.stage import Stage
from harness.stages.clock import StageClock
from harness.stages.foreign import about
from harness.stages.watch import Progress, StageWatch, StopFlag
from harness.stages.world import World
from harness.store import Store
from harness.training.replicas import Seat
from harness.training.threads import set_determinism

SAVE_SECONDS = 20.0


def compute(
    stage: Stage, world: World, progress: Progress, stop: StopFlag, seat: Seat | None = None
) -> Literal["done", "there", "busy"]:
    """Put the artifact of ``stage`` into the store; ``seat`` is its place among several.

    ``there`` when another run has put it there meanwhile, ``busy`` while another run is at it.
    """
    store: Store = world.store
    kind = kind_of(stage)
    lock = store.lock(stage.kind, stage.key)
    if lock is None:
        return "busy"
    with lock:
        if store.has(stage.kind, stage.key, tensors=kind.tensors):
            return "there"
        slot = store.slot(stage.kind, stage.key, every_seconds=SAVE_SECONDS)
        clock = StageClock(world.device)

        def shown(done: int, total: int, loss: float | None) -> None:
            clock.sample()
            progress(done, total, loss)

        watch = StageWatch(shown, stop, seat)
        set_determinism(world.options.deterministic)
        record, tensors = kind.run(stage, world, watch, slot)
        record["stage"] = {**about(stage), "sources": sources_of(stage)}
        record["seconds"] = clock.seconds(0.0 if seat is None else seat.away)
        record["resources"] = clock.resources()
        if seat is not None and seat.replicas > 1:
            record["replicas"] = seat.replicas
        record["device"], record["threads"] = str(world.device), torch.get_num_threads()
        store.write(stage.kind, stage.key, record, tensors)
        slot.clear()
    return "done"
