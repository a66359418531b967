"""``score``: what metrics measure of a population of models, by their outputs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from harness.components import get
from harness.errors import HarnessError
from harness.metrics.populations import Populations
from harness.plan.kinds import Kind, Samples
from harness.plan.stage import Cell, Stage
from harness.spec.blocks import Use
from harness.stages.answers import StageAnswers
from harness.stages.fitting import measured_part
from harness.stages.schemas import METER
from harness.stages.splits import splits_of
from harness.stages.watch import StageWatch
from harness.stages.world import Computed, World
from harness.store.records import NUMBER, NUMBERS, TEXT, every, optional

_POPULATIONS = ("unlearned", "retrained", "original")


def _hashes(cell: Cell, uses: tuple[Use, ...], detail: Mapping[str, Any]) -> tuple[Any, ...]:
    return list(uses), cell.forget


def _run(stage: Stage, world: World, watch: StageWatch, slot: Any) -> Computed:
    keys: dict[str, list[str]] = {}
    for role, key in stage.inputs:
        population, _, number = role.partition(":")
        if number and population.partition("+")[0] in _POPULATIONS:
            keys.setdefault(population, []).append(key)
    diverged, records = "", {key: world.record("outputs", key) for k in keys.values() for key in k}
    for name, found in keys.items():
        for lost in filter(None, (world.lost("outputs", key) for key in found)):
            if name != "unlearned":
                raise HarnessError(f"a {name} model that it is compared with diverged: {lost}")
            diverged = lost
    counts = {name: len(found) for name, found in keys.items()}
    record = {"models": counts, "meter": watch.meter.as_dict()}
    if diverged:
        return {**record, "metrics": {}, "diverged": diverged}, None
    populations = Populations(
        outputs={
            name: [partial(world.tensors, "outputs", key) for key in found]
            for name, found in keys.items()
        },
        pools=splits_of(stage, world),
        classes=len(world.material(stage).dataset.classes),
        seed=stage.draws,
        answers=StageAnswers(stage, world),
        spent={
            name: [m for key in found if (m := records[key].get("spent"))]
            for name, found in keys.items()
        },
        exact=all(records[key].get("exact") for key in keys.get("unlearned", ())),
    )
    metrics: dict[str, float] = {}
    for use in stage.uses:
        metrics.update(get("metrics", use.name).function(populations, use.settings))
    left = {"series": populations.series, "rejected": populations.rejected[:200]}
    return {**record, **{k: v for k, v in left.items() if v}, **measured_part(metrics)}, None


KIND = Kind(
    name="score",
    rank=8,
    revision=1,
    roles={
        "features": "features",
        "corrupt": "corrupt",
        "prepare": "prepare",
        "model": "train",
        **dict.fromkeys(_POPULATIONS, "outputs"),
    },
    hashes=_hashes,
    leaves="numbers",
    record={
        "metrics": every(NUMBER),
        "models": every(NUMBER),
        "meter": METER,
        "series": optional(every(NUMBERS)),
        "rejected": optional(TEXT),
    },
    samples=lambda stage: Samples(),
    published="nothing",
    run=_run,
)
