"""``harness verify``: is the store what its hashes say, and does computing again give the same?"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path

import attrs
import click

from harness.api import Experiment
from harness.commands.options import (
    DATA_ROOT,
    DEVICE,
    ONLY,
    REGISTRY,
    STORE,
    changed_spec,
    needed_registry,
    warn,
)
from harness.errors import IntegrityError, StageFailed, UsageError
from harness.execute.records import is_measurement
from harness.execute.reuse import measured_apart
from harness.execute.run import devices
from harness.execute.workers import attempt
from harness.execute.workers.events import Computed, Failed, InputDamaged
from harness.plan.cost import flops_of
from harness.plan.kinds import kind_of, kinds, store_at
from harness.plan.plan import Plan
from harness.plan.stage import Stage
from harness.stages.options import Options
from harness.store import Store
from harness.store.registry import Entry, read_registry
from harness.store.store import TENSORS

Note = Callable[[str], None]


@click.command("verify")
@changed_spec
@STORE
@DATA_ROOT
@ONLY
@click.option(
    "--recompute",
    "count",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Compute N stages again.",
)
@click.option("--seed", default=0, show_default=True, help="Chooses which.")
@click.option(
    "--against-registry", is_flag=True, help="Compare with what is published, without the network."
)
@REGISTRY
@DEVICE
def command(
    experiment: Experiment,
    store: Path,
    data_root: Path | None,
    only: tuple[str, ...],
    count: int,
    seed: int,
    against_registry: bool,
    registry: Path | None,
    device: str,
) -> None:
    """Hash everything the store has for SPEC (exit code 4 when it is damaged).

    With --against-registry or --recompute N, compare the tensors with those that are published, or
    of N stages that are computed again elsewhere (exit code 1 when they differ).
    """
    plan = experiment.plan(only)
    click.echo(verify_plan(plan, store_at(store)))
    if against_registry:
        place = needed_registry(experiment.file, registry)
        entries = read_registry(place, kinds(), plan.spec.id, warn, plan.stages)
        click.echo(compare(plan, store_at(store), entries))
    if count:
        said = recompute(
            plan, store, count, click.echo, seed=seed, device=device, data_root=data_root
        )
        click.echo(said)


def verify_plan(plan: Plan, store: Store) -> str:
    """Hash every artifact of ``plan``. Raises IntegrityError that names each damaged file."""
    there = [s for s in plan.stages.values() if store.holds(s.kind, s.key)]
    problems = []
    for stage in there:
        try:
            store.read(stage.kind, stage.key)
        except IntegrityError as error:
            problems.append(str(error))
    if problems:
        raise IntegrityError(f"{len(problems)} damaged artifacts:\n" + "\n".join(problems))
    return f"{len(there)} of the plan's {len(plan.stages)} artifacts are there and whole"


def compare(plan: Plan, store: Store, entries: Mapping[str, Entry]) -> str:
    """Hold tensors and numbers in ``store`` against what ``entries`` say of them.

    Raises:
        StageFailed: they are others; each is named.
    """
    both = [
        (plan.describe(stage.key), store.digest(stage.kind, stage.key), entry)
        for stage in plan.stages.values()
        if (entry := entries.get(stage.key)) and entry.tensors and store.has(stage.kind, stage.key)
    ]
    differing = [
        f"{name}: its tensors are not those of {entry.place}"
        for name, digest, entry in both
        if entry.tensors and digest != entry.tensors.sha256
    ]
    stages = filter(is_measurement, plan.stages.values())
    measured = {s.key: store.record(s.kind, s.key) for s in stages if store.has(s.kind, s.key)}
    differing += measured_apart(plan, store, entries, measured)
    if differing:
        raise StageFailed("\n".join(differing))
    return f"{len(both)} of {len(entries)} published artifacts are here, with the same tensors"


def recompute(
    plan: Plan,
    folder: Path,
    count: int,
    note: Note,
    *,
    seed: int,
    device: str,
    data_root: Path | None,
) -> str:
    """Compute ``count`` stages again in a temporary store and compare the bytes of their tensors.

    The smallest of each kind come first; ``seed`` chooses among equals.

    Raises:
        StageFailed: a stage raised, or gave other bytes; each is named.
    """
    options = Options(
        store=folder,
        data_root=data_root,
        devices=devices(device)[:1],
        jobs=1,
        deterministic=plan.spec.deterministic == "bitwise",
    )
    store = store_at(folder)
    chosen = _chosen(plan, store, count, seed)
    if not chosen:
        raise UsageError(
            f"nothing to compute again: run the spec first ({folder} lacks its stages)"
        )
    differing = []
    for stage in chosen:
        wrong = _again(plan, stage, store, options)
        note(f"{plan.describe(stage.key)}: {wrong or 'the same bytes'}")
        if wrong:
            differing.append(f"{plan.describe(stage.key)}: {wrong}")
    if differing:
        advice = ""
        if plan.spec.deterministic != "bitwise":
            advice = "\nThe spec asks for statistical repeats only: other bytes are allowed"
        raise StageFailed(
            f"{len(differing)} of {len(chosen)} differ:\n{chr(10).join(differing)}{advice}"
        )
    return f"{len(chosen)} stages computed again: the same bytes"


def _chosen(plan: Plan, store: Store, count: int, seed: int) -> list[Stage]:
    """Stages whose tensors and inputs the store has, one of each kind in turn."""
    stages = [s for s in plan.stages.values() if _repeatable(plan, s, store)]
    random.Random(seed).shuffle(stages)  # noqa: S311 (nothing secret)
    by_kind: dict[str, list[Stage]] = defaultdict(list)
    for stage in sorted(stages, key=flops_of):
        by_kind[stage.kind].append(stage)
    turns = zip_longest(*by_kind.values())
    return [stage for turn in turns for stage in turn if stage is not None][:count]


def _repeatable(plan: Plan, stage: Stage, store: Store) -> bool:
    if not kind_of(stage).tensors or not store.has(stage.kind, stage.key, tensors=True):
        return False
    return all(store.has(s.kind, s.key, tensors=True) for s in _sources(plan, stage))


def _sources(plan: Plan, stage: Stage) -> Iterator[Stage]:
    for _, key in stage.inputs:
        yield plan.stages[key]
        yield from _sources(plan, plan.stages[key])


def _again(plan: Plan, stage: Stage, store: Store, options: Options) -> str | None:
    """What is wrong with a second computation of ``stage``; None when its bytes are the same."""
    from harness.stages.world import World

    with tempfile.TemporaryDirectory(prefix="harness-verify-") as place:
        second = Store(Path(place) / "store")
        for source in _sources(plan, stage):
            _lend(store.path(source.kind, source.key), second.path(source.kind, source.key))
        world = World(attrs.evolve(options, store=second.folder))
        world.root = attrs.evolve(world.root, cache=options.store.parent / "data")
        end = attempt(stage, world, lambda *step: None, threading.Event())
        if not isinstance(end, Computed):
            return end.message if isinstance(end, Failed | InputDamaged) else "was not computed"
        files = [s.path(stage.kind, stage.key) / TENSORS for s in (store, second)]
        before, after = (file.read_bytes() for file in files)
        if before == after:
            return None
        made = store.record(stage.kind, stage.key)
        return f"other bytes than those computed on {made['device']} ({made['threads']} threads)"


def _lend(source: Path, target: Path) -> None:
    """The files of an artifact, linked where the disk allows it."""
    if target.exists():
        return
    target.mkdir(parents=True)
    for file in source.iterdir():
        try:
            os.link(file, target / file.name)
        except OSError:
            shutil.copyfile(file, target / file.name)
