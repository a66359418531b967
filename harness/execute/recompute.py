"""Sets artifacts aside that are to be computed again, until their successors are there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.components import get
from harness.plan.kinds import components_of
from harness.plan.plan import Plan
from harness.plan.stage import address
from harness.store import Store
from harness.store.files import explained
from harness.store.store import REPLACED


@contextmanager
def replaced(plan: Plan, store: Store, keys: frozenset[str]) -> Iterator[None]:
    """Take the artifacts of ``keys``, and what was saved of unfinished ones, out of the store.

    They are removed when the context ends and all are there again. Otherwise they stay set aside,
    and the same call, with the same code of the components, goes on: what has been computed since
    stays. What depends on a stage goes before it does, so that at no moment numbers stand in the
    store beside newer ones that they should follow from.
    """
    stages = [stage for key, stage in plan.stages.items() if key in keys]
    used = sorted({name for stage in stages for name in components_of(stage)})
    code = (f"{kind} {name} {get(kind, name).digest}" for kind, name in used)
    place = store.folder / REPLACED / address(*sorted(keys), *code)

    def all_there() -> bool:
        return all(store.has(stage.kind, stage.key) for stage in stages)

    with explained(store.folder):
        if all_there():
            shutil.rmtree(place, ignore_errors=True)
        for stage in reversed(stages):
            _set_aside(store, stage.kind, stage.key, place)
    yield
    if all_there():
        shutil.rmtree(place, ignore_errors=True)


def _set_aside(store: Store, kind: str, key: str, place: Path) -> None:
    aside = place / f"{kind}-{key}"
    if aside.exists():
        return
    store.slot(kind, key, every_seconds=0).clear()
    artifact = store.path(kind, key)
    if artifact.exists():
        place.mkdir(parents=True, exist_ok=True)
        os.rename(artifact, aside)
    else:
        aside.mkdir(parents=True)  # what will stand there is new
