"""``evaluate``: what the metrics measure of one unlearned model and of those beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from harness.components import get, remembered
from harness.errors import Diverged, HarnessError
from harness.lazy import nn, torch
from harness.metrics.evidence import Evidence
from harness.plan.cost import flops_of_parts, sizes_of, split_size
from harness.plan.kinds import Kind, Samples
from harness.plan.stage import Cell, Stage, identity
from harness.spec.blocks import Use
from harness.stages.answers import StageAnswers
from harness.stages.clock import spent
from harness.stages.fitting import measured_in, measured_part, use_threads
from harness.stages.problem import ROLES
from harness.stages.schemas import METER
from harness.stages.splits import splits_of
from harness.stages.watch import StageWatch
from harness.stages.world import Computed, World
from harness.store.records import NUMBER, NUMBERS, every, optional
from harness.training.precision import of_evaluation

_SOURCES = {"unlearned": "unlearn", "original": "train", "reference": "unlearn"}


@remembered(256)
def splits_read(uses: tuple[Use, ...]) -> frozenset[str] | None:
    """The splits that the metrics ``uses`` run models on; None when one does not say."""
    found: set[str] = set()
    for use in uses:
        reads = get("metrics", use.name).traits.reads
        if reads is None:
            return None
        found.update(split.partition(":")[0] for split in reads(use.settings))
    return frozenset(found)


def _hashes(cell: Cell, uses: tuple[Use, ...], detail: Mapping[str, Any]) -> tuple[Any, ...]:
    """Metrics that read neither part of the data measure the same for all forget sets."""
    splits = splits_read(uses)
    split = splits is None or not {"retain", "forget"}.isdisjoint(splits)
    return list(uses), cell.forget if split else "", *measured_in(cell)


def _samples(stage: Stage) -> Samples:
    """What is needed of the base model is computed once for all models that come from it."""
    sizes = sizes_of(stage.cell)
    reads = [(get("metrics", use.name).traits.reads, use.settings) for use in stage.uses]
    splits = {split for read, settings in reads if read for split in read(settings)}
    return Samples(sum(split_size(split, sizes) for split in splits))


def _run(stage: Stage, world: World, watch: StageWatch, slot: Any) -> Computed:
    inputs = dict(stage.inputs)
    diverged = world.lost("unlearn", inputs["unlearned"])
    metrics: dict[str, float] = {}
    series: dict[str, list[float]] = {}
    try:
        metrics, series = ({}, {}) if diverged else _measured(stage, world, inputs)
    except Diverged as found:
        diverged = str(found)
    record = {**measured_part(metrics), "meter": watch.meter.as_dict()}
    left = {"diverged": diverged, "series": series}
    return record | {name: value for name, value in left.items() if value}, None


def _measured(
    stage: Stage, world: World, inputs: Mapping[str, str]
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """What the metrics measure, and the series that they leave. Raises Diverged where the outputs
    of the unlearned model are not finite."""
    cell, material = stage.cell, world.material(stage)
    use_threads(cell)
    if "reference" in inputs and (lost := world.lost("unlearn", inputs["reference"])):
        raise HarnessError(f"the retrained model that it is compared with diverged: {lost}")
    keys = {**inputs, "original": inputs["base"]}
    precision = of_evaluation(cell.train)

    def load(which: str) -> nn.Module:
        return world.load_model(cell, material.dataset, _SOURCES[which], keys[which])

    def shared(split: str, make: Callable[[], torch.Tensor]) -> torch.Tensor:
        of = inputs["base"], identity(cell.forget) if split in ("retain", "forget") else ""
        logits: torch.Tensor = world.remember(("logits", split, precision, *of), make)
        return logits

    evidence = Evidence(
        models=load,
        pools=splits_of(stage, world),
        classes=len(material.dataset.classes),
        target_class=material.target_class,
        costs=_costs(inputs, world),
        seed=stage.draws,
        facts=world.record("unlearn", inputs["unlearned"])["facts"],
        shared=shared,
        precision=precision,
        corruption=material.corruption.tensors,
        answers=StageAnswers(stage, world),
        flops=partial(flops_of_parts, cell),
    )
    metrics: dict[str, float] = {}
    for use in stage.uses:
        metrics.update(get("metrics", use.name).function(evidence, use.settings))
    return metrics, evidence.series


def _costs(inputs: Mapping[str, str], world: World) -> dict[str, dict[str, float]]:
    """Samples of the base training, and of the method with all that was prepared for it."""
    record = world.record("unlearn", inputs["unlearned"])
    method = spent(record, lambda key: world.record("prepare", key))
    return {"base": world.record("train", inputs["base"])["meter"], "method": method}


KIND = Kind(
    name="evaluate",
    rank=7,
    revision=2,
    roles={**ROLES, "unlearned": "unlearn", "reference": "unlearn"},
    hashes=_hashes,
    leaves="numbers",
    record={"metrics": every(NUMBER), "meter": METER, "series": optional(every(NUMBERS))},
    samples=_samples,
    published="nothing",
    run=_run,
)
