"""Which records a run has to have, and whether those that are there can be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.errors import IntegrityError
from harness.plan.kinds import kind_of
from harness.plan.plan import Plan
from harness.plan.stage import Stage
from harness.stages.problem import PREPARED
from harness.store import Store

Records = dict[str, Mapping[str, Any]]


def is_measurement(stage: Stage) -> bool:
    """Whether ``stage`` leaves numbers only: what a run is for."""
    return not kind_of(stage).tensors


def reported(plan: Plan) -> dict[str, None]:
    """The keys of the stages whose records a report of ``plan`` reads, in the plan's order.

    Every measurement; what its data were and looked like (``corrupt``), how its base model was
    trained, what each candidate took and recorded, chosen or not, and what was prepared for it. Of
    surrogates, features, outputs, and what a metric asks for, no record is read.
    """
    found: dict[str, None] = {}
    todo = [stage for stage in plan.stages.values() if is_measurement(stage)]
    while todo:
        stage = todo.pop()
        if stage.key not in found:
            found[stage.key] = None
            todo += [plan.stages[key] for role, key in stage.inputs if _is_read(stage, role)]
    return {key: None for key in plan.stages if key in found}


def _is_read(stage: Stage, role: str) -> bool:
    if role.startswith(PREPARED):
        return not is_measurement(stage)
    return role in ("corrupt", "base", "unlearned")


def sound_records(plan: Plan, store: Store, note: Callable[[str], None]) -> Records:
    """The records of the measurements that ``store`` has, by key.

    Every record of ``plan`` is looked at. Those that cannot be used are set aside with one
    note, whatever their number, and are then missing.
    """
    found: Records = {}
    wrong: list[str] = []
    for key, stage in plan.stages.items():
        if not store.holds(stage.kind, key):
            continue
        try:
            record = store.record(stage.kind, key)
        except IntegrityError as error:
            store.set_aside(stage.kind, key)
            wrong.append(str(error))
            continue
        if is_measurement(stage):
            found[key] = record
    if len(wrong) == 1:
        note(f"{wrong[0]}; it is set aside and computed again")
    elif wrong:
        note(
            f"{len(wrong):,} damaged artifacts are set aside, and computed again where they are "
            f"needed. The first: {wrong[0]}"
        )
    return found
