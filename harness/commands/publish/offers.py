"""What the store holds of a plan that can be published, and what it is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import frozen

from harness.components import get
from harness.execute.retention import choose
from harness.execute.reuse import models_of, prepared_for
from harness.plan.kinds import kind_of
from harness.plan.plan import Plan
from harness.plan.stage import Stage
from harness.report.results import Results
from harness.store import Store
from harness.store.files import file_sha256
from harness.store.registry import Entry, Pinned, path_in_repo, safe_name
from harness.store.store import RECORD, TENSORS


@frozen
class PublishRequest:
    """What ``harness publish`` was asked to do."""

    plan: Plan
    profile: str | None
    spec_file: Path
    store: Path
    repo: str
    registry: Path
    results: Results | None
    licence: str
    private: bool
    dry_run: bool


@frozen
class Offer:
    """A checkpoint that can be published: its local files and its entry without a commit."""

    stage: Stage
    files: Mapping[str, Path]
    entry: Entry


def offers_of(request: PublishRequest, store: Store, provenance: str) -> Iterator[Offer]:
    """Base models and what they were trained on, chosen checkpoints, and records of their
    preparation, as far as the store has them whole."""
    plan = request.plan
    cells = _cells(plan)
    chosen = _chosen(plan, store)
    of_base = _of_base(plan, store)
    before = {key: list(prepared_for(plan, plan.stages[key])) for key in chosen}
    # Without the records of what was prepared for a checkpoint, its cost is not known.
    whole = {k for k, found in before.items() if all(store.has(s.kind, s.key) for s in found)}
    prepared = {stage.key for key in whole for stage in before[key]}
    for key, stage in plan.stages.items():
        kind = kind_of(stage)
        wanted = kind.published == "whole" or key in whole or key in prepared
        with_tensors = kind.published_whole
        if wanted and store.has(stage.kind, key, tensors=with_tensors):
            if "diverged" in store.read(stage.kind, key).record:  # which is hashed here, too
                continue
            name = _name(stage, cells[key])
            metrics = chosen.get(key) or of_base.get(key, {})
            yield _offer(request, store, stage, name, metrics, provenance)


def _chosen(plan: Plan, store: Store) -> dict[str, Mapping[str, float]]:
    """The chosen ``unlearn`` stages with what was measured of them."""
    found: dict[str, Mapping[str, float]] = {}
    for choice in plan.choices:
        stages = [plan.stages[key] for key in choice.measurements]
        if all(store.has(stage.kind, stage.key) for stage in stages):
            metrics = {s.key: store.record(s.kind, s.key)["metrics"] for s in stages}
            position = choose(choice, metrics.__getitem__)
            for group in choice.groups:
                candidate = group.candidates[position]
                found[candidate.unlearn] = metrics[candidate.evaluate]
    return found


def _of_base(plan: Plan, store: Store) -> dict[str, Mapping[str, float]]:
    """What was measured of base models that some method left as they are, as far as it is the same
    whatever is to be forgotten."""
    of_all = {
        name
        for use in plan.spec.metrics
        for traits in [get("metrics", use.name).traits]
        if traits.reads and {"retain", "forget"}.isdisjoint(traits.reads(use.settings))
        for name in traits.outputs(use.settings)
    }
    bases = {key for key, stage in plan.stages.items() if kind_of(stage).published == "whole"}
    found: dict[str, Mapping[str, float]] = {}
    for key, evaluate in models_of(plan, store, bases):
        stage = plan.stages[evaluate]
        if key not in found and store.has(stage.kind, stage.key):
            measured = store.record(stage.kind, stage.key)["metrics"]
            found[key] = {name: value for name, value in measured.items() if name in of_all}
    return found


def _offer(
    request: PublishRequest,
    store: Store,
    stage: Stage,
    name: str,
    metrics: Mapping[str, float],
    provenance: str,
) -> Offer:
    spec = request.plan.spec
    names = (RECORD, TENSORS) if kind_of(stage).published_whole else (RECORD,)
    files = {name: store.path(stage.kind, stage.key) / name for name in names}
    pinned = {name: _pinned(stage, name, file) for name, file in files.items()}
    finite = {name: value if abs(value) < float("inf") else None for name, value in metrics.items()}
    return Offer(
        stage,
        files,
        Entry(
            file=request.registry / spec.id / f"{name}.yaml",
            key=stage.key,
            kind=stage.kind,
            spec={"id": spec.id, "version": spec.version, "profile": request.profile},
            repo=request.repo,
            commit="",
            record=pinned[RECORD],
            tensors=pinned.get(TENSORS),
            metrics=finite,
            provenance=provenance,
        ),
    )


def _pinned(stage: Stage, name: str, file: Path) -> Pinned:
    path = path_in_repo(stage.kind, stage.key, name)
    return Pinned(path, file_sha256(file), file.stat().st_size)


def _cells(plan: Plan) -> dict[str, dict[str, set[str]]]:
    """For each stage the values of each axis in the cells that need it."""
    found: dict[str, dict[str, set[str]]] = {}
    for choice in plan.choices:
        cell = {name: str(value) for name, value in choice.groups[0].cell.point.items()}
        for key in plan.needed(choice.measurements):
            values = found.setdefault(key, {})
            for name, value in cell.items():
                values.setdefault(name, set()).add(value)
    return found


def _name(stage: Stage, cells: Mapping[str, set[str]]) -> str:
    """A file name that says which cell it is, by the axes that matter; the key keeps it unique."""
    cell = [f"{name}={min(values)}" for name, values in cells.items() if len(values) == 1]
    words = [stage.kind, *(use.name for use in stage.uses), stage.detail.get("subset"), *cell]
    readable = safe_name("-".join(filter(None, [*words, f"seed={stage.cell.seed}"])))
    return f"{readable}-{stage.key[:8]}"
