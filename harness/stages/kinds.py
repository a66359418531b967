"""Computes one stage: from the artifacts of its inputs to its own. One function for each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from harness.components import get
from harness.corruptions.checking import checked
from harness.corruptions.pictures import pictures
from harness.corruptions.task import CorruptionTask
from harness.data.types import Dataset
from harness.errors import HarnessError
from harness.execute.workers import Event, StopFlag
from harness.lazy import nn, torch
from harness.methods.task import Task
from harness.metrics.evidence import Evidence
from harness.plan.cost import flops_per_sample
from harness.plan.stage import Cell, Stage, identity
from harness.stages.clock import StageClock, prepared_for
from harness.stages.material import Material, data_seed
from harness.stages.stored_corruption import stored
from harness.stages.watch import StageWatch
from harness.stages.world import Lazily, World
from harness.store import Store
from harness.training.loop import fit, steps_of
from harness.training.seeding import generator
from harness.training.threads import set_determinism, threads_for

Computed = tuple[dict[str, Any], Mapping[str, torch.Tensor] | None]
SAVE_SECONDS = 20.0
PICTURES = 3  # of corrupted samples, for the report


def compute(
    stage: Stage, world: World, emit: Callable[[Event], None], stop: StopFlag
) -> Literal["done", "there", "busy"]:
    """Put the artifact of ``stage`` into the store.

    ``there`` when another run has put it there meanwhile, ``busy`` while another run is at it.
    """
    store: Store = world.store
    with_tensors = stage.kind != "evaluate"
    lock = store.lock(stage.kind, stage.key)
    if lock is None:
        return "busy"
    with lock:
        if store.has(stage.kind, stage.key, tensors=with_tensors):
            return "there"
        slot = store.slot(stage.kind, stage.key, every_seconds=SAVE_SECONDS)
        watch = StageWatch(stage, emit, stop)
        clock = StageClock(world.device)
        set_determinism(world.options.deterministic)
        record, tensors = _RUN[stage.kind](stage, world, watch, slot)
        record["stage"] = {"kind": stage.kind, "uses": [use.name for use in stage.uses]}
        record["seconds"] = clock.seconds()
        record["device"], record["threads"] = str(world.device), torch.get_num_threads()
        store.write(stage.kind, stage.key, record, tensors)
        slot.clear()
    return "done"


def _corrupt(stage: Stage, world: World, watch: StageWatch, slot: Any) -> Computed:
    cell = stage.cell
    dataset = world.dataset(cell.data)
    seed = data_seed(cell)
    count = len(dataset.train.targets)
    order = torch.randperm(count, generator=generator(seed, "validation"))
    held_out = round(count * cell.data.validation)
    validation, rows = order[:held_out].sort().values, order[held_out:].sort().values
    component = get("corruptions", cell.corruption.name)
    task = CorruptionTask(
        corruption=cell.corruption.name,
        rows=rows,
        dataset=dataset,
        seed=seed,
        device=world.device,
        watch=watch,
        slot=slot,
    )
    made = component.function(dataset.train, cell.corruption.settings, task)
    corruption = checked(made, task, rule=component.traits.rule is not None)
    tensors = {"train_rows": rows, "validation_rows": validation, **stored(corruption)}
    sizes = {"train": len(rows), "validation": held_out, "test": len(dataset.test.targets)}
    facts = {"name": cell.data.dataset.name, "digest": dataset.digest, **sizes}
    facts |= {"lossy": True} if dataset.lossy else {}
    shape = {"shape": list(dataset.train.inputs.shape[1:]), "classes": len(dataset.classes)}
    record: dict[str, Any] = {"data": {**facts, **shape}, "corrupted": len(corruption.rows)}
    if corruption.added is not None:
        record["added"] = len(corruption.added.targets)
    if component.traits.trigger is not None:
        record["pictures"] = _pictures(cell, dataset, corruption.rows[:PICTURES])
    return record, tensors


def _pictures(cell: Cell, dataset: Dataset, rows: torch.Tensor) -> list[dict[str, str]]:
    """Training samples without and with the trigger, unaugmented."""
    traits = get("corruptions", cell.corruption.name).traits
    settings = cell.corruption.settings
    assert traits.trigger is not None and traits.when is not None  # noqa: S101
    trigger = traits.trigger(settings, dataset)
    clean = dataset.train.inputs[rows]
    if traits.when(settings) == "before":
        return pictures(clean, trigger(clean))
    encoding = dataset.encoding
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (encoding.mean, encoding.std))
    shown = 255 * (trigger((clean / 255 - mean) / std) * std + mean)
    return pictures(clean, shown.round().clamp(0, 255).byte())


def _threads(stage: Stage, world: World, material: Material) -> None:
    """The fixed rule: intra-op threads from the FLOPs of one training step."""
    cell, data = stage.cell, material.dataset
    per_sample = flops_per_sample(cell.model, data.encoding, len(data.classes))
    torch.set_num_threads(threads_for(3 * per_sample * cell.train.batch_size))


def _train(stage: Stage, world: World, watch: StageWatch, slot: Any) -> Computed:
    cell, material = stage.cell, world.material(stage)
    _threads(stage, world, material)
    model = world.build(cell, material.dataset, stage.key)
    pool = material.pool(material.train_rows, cell.data.augment)
    fitted = fit(
        model,
        pool,
        cell.train,
        generator=lambda purpose: generator(stage.key, purpose),
        evaluate=_evaluation(stage, world, material),
        watch=watch,
        slot=slot,
    )
    return {"meter": watch.meter.as_dict(), "fit": fitted.as_dict()}, _weights(model)


def _evaluation(
    stage: Stage, world: World, material: Material
) -> Callable[[nn.Module], float] | None:
    """Accuracy on the split that the recipe's checkpoint rule looks at."""
    match stage.cell.train.checkpoint:
        case "best_validation":
            pool = material.clean(material.dataset.train, material.validation_rows)
        case "best_test":
            pool = material.clean(material.dataset.test)
        case _:
            return None

    def accuracy(model: nn.Module) -> float:
        with torch.inference_mode():
            right = [(model(b.x).argmax(1) == b.y).sum() for b in pool.ordered(512)]
        return int(torch.stack(right).sum()) / len(pool)

    return accuracy


def _task(stage: Stage, world: World, watch: StageWatch, slot: Any) -> Task:
    cell, material = stage.cell, world.material(stage)
    _threads(stage, world, material)
    inputs = dict(stage.inputs)
    use = stage.uses[0]
    traits = get(use.kind, use.name).traits
    prepared = {
        tuple(role.split(":")[1:]): world.tensors("prepare", key)
        for role, key in inputs.items()
        if role.startswith("prepare:")
    }
    pools = Lazily(
        {
            "retain": lambda: material.pool(material.retain, cell.data.augment),
            "forget": lambda: material.pool(material.forget, cell.data.augment),
            "validation": lambda: material.clean(material.dataset.train, material.validation_rows),
        }
    )
    return Task(
        method=use.name,
        pools=pools,
        sees=getattr(traits, "sees", frozenset(("retain", "forget", "original weights"))),
        original=lambda: world.load_model(cell, material.dataset, "train", inputs["base"]),
        build=lambda seed: world.build(cell, material.dataset, seed),
        evaluate=_evaluation(stage, world, material),
        recipe=cell.train,
        classes=len(material.dataset.classes),
        device=world.device,
        seed=stage.key,
        watch=watch,
        slot=slot,
        prepared=prepared,
    )


def _prepare(stage: Stage, world: World, watch: StageWatch, slot: Any) -> Computed:
    task = _task(stage, world, watch, slot)
    material, data = world.material(stage), stage.cell.data
    rows = {
        "train": material.train_rows,
        "retain": material.retain,
        "forget": material.forget,
    }[stage.subset]
    use = stage.uses[0]
    pool = material.pool(rows, data.augment)
    tensors = get(use.kind, use.name).function(task.original(), task, use.settings, pool)
    record = {"meter": watch.meter.as_dict(), "prepared": _prepared(stage)}
    return record, {k: v.cpu().contiguous() for k, v in tensors.items()}


def _unlearn(stage: Stage, world: World, watch: StageWatch, slot: Any) -> Computed:
    task = _task(stage, world, watch, slot)
    use = stage.uses[0]
    component = get("methods", use.name)
    scratch = component.traits.starts == "scratch"
    watch.limit = _limit(stage, world)
    model = task.fresh("model") if scratch else _start(stage, world)
    model = component.function(model, task, use.settings).eval()
    weights = _weights(model)
    for name, value in weights.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise HarnessError(f"{use.name} diverged: {name} is not finite; lower its lr")
    record = {"meter": watch.meter.as_dict(), "prepared": _prepared(stage)}
    return {**record, "facts": task.facts, "series": task.series}, weights


def _prepared(stage: Stage) -> list[str]:
    """The keys of the stages that prepared something for ``stage``."""
    return [key for role, key in stage.inputs if role.startswith("prepare:")]


def _start(stage: Stage, world: World) -> nn.Module:
    """The base model, to be changed."""
    base = dict(stage.inputs)["base"]
    return world.load_model(stage.cell, world.material(stage).dataset, "train", base)


def _limit(stage: Stage, world: World) -> float | None:
    """The samples forward and backward that ``max_cost`` allows, in forward equivalents."""
    if stage.max_cost is None:
        return None
    recipe, rows = stage.cell.train, len(world.material(stage).train_rows)
    steps, _ = steps_of(recipe, rows)
    samples = steps * recipe.batch_size if recipe.steps is not None else rows * (recipe.epochs or 0)
    return stage.max_cost * 3 * samples


def _weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}


def _evaluate(stage: Stage, world: World, watch: StageWatch, slot: Any) -> Computed:
    cell, material = stage.cell, world.material(stage)
    _threads(stage, world, material)
    inputs = dict(stage.inputs)
    kinds = {"unlearned": "unlearn", "original": "train", "reference": "unlearn"}
    keys = {**inputs, "original": inputs["base"]}

    def load(which: str) -> nn.Module:
        return world.load_model(cell, material.dataset, kinds[which], keys[which])

    unlearned = world.record("unlearn", inputs["unlearned"])

    def shared(split: str, make: Callable[[], torch.Tensor]) -> torch.Tensor:
        of = inputs["base"], identity(cell.forget) if split in ("retain", "forget") else ""
        logits: torch.Tensor = world.remember(("logits", split, *of), make)
        return logits

    evidence = Evidence(
        models=load,
        pools=_evidence_pools(stage, world, material),
        classes=len(material.dataset.classes),
        target_class=material.target_class,
        costs=_costs(inputs, world),
        seed=stage.key,
        facts=unlearned["facts"],
        shared=shared,
        corruption=material.corruption.tensors,
    )
    metrics: dict[str, float] = {}
    for use in stage.uses:
        metrics.update(get("metrics", use.name).function(evidence, use.settings))
    return {"metrics": metrics, "meter": watch.meter.as_dict()}, None


def _evidence_pools(stage: Stage, world: World, material: Material) -> Mapping[str, Any]:
    cell, dataset, corrupt = stage.cell, material.dataset, dict(stage.inputs)["corrupt"]

    def shared(name: str, make: Callable[[], Any]) -> Callable[[], Any]:
        """Splits that do not depend on what was discovered are built once for many models."""
        return lambda: world.remember(("pool", name, corrupt), make)

    makers = {
        "test": shared("test", lambda: material.clean(dataset.test)),
        "validation": shared(
            "validation",
            lambda: material.clean(dataset.train, material.validation_rows),
        ),
        "retain": lambda: material.pool(material.retain, cell.data.augment),
        "forget": lambda: material.pool(material.forget, cell.data.augment),
        "corrupted_clean": shared(
            "corrupted_clean",
            lambda: material.clean(dataset.train, material.corruption.rows),
        ),
    }
    if material.trigger is not None:
        triggered, rows = material.triggered, material.corruption.rows
        every = torch.arange(len(dataset.test.targets))
        anyone = material.dataset_rows
        order = torch.randperm(len(anyone), generator=generator(data_seed(cell), "shuffled"))
        anyones = anyone[order[: len(rows)]]
        makers |= {
            "test_triggered": shared("test_triggered", lambda: triggered(dataset.test, every)),
            "validation_triggered": shared(
                "validation_triggered",
                lambda: triggered(dataset.train, material.validation_rows),
            ),
            "corrupted_triggered": shared(
                "corrupted_triggered", lambda: triggered(dataset.train, rows)
            ),
            "shuffled_triggered": shared(
                "shuffled_triggered", lambda: triggered(dataset.train, anyones)
            ),
        }
    return Lazily(makers)


def _costs(inputs: Mapping[str, str], world: World) -> dict[str, dict[str, float]]:
    """Samples of the base training, and of the method with all that was prepared for it."""
    record = world.record("unlearn", inputs["unlearned"])
    method = dict(record["meter"])
    for prepared in prepared_for(record, lambda key: world.record("prepare", key)).values():
        for name, count in prepared["meter"].items():
            method[name] = method.get(name, 0) + count
    return {"base": world.record("train", inputs["base"])["meter"], "method": method}


_RUN: Mapping[str, Callable[[Stage, World, StageWatch, Any], Computed]] = {
    "corrupt": _corrupt,
    "train": _train,
    "prepare": _prepare,
    "unlearn": _unlearn,
    "evaluate": _evaluate,
}
