"""What the store holds of a plan that can be published, and what it is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from harness.execute.retention import choose
from harness.execute.reuse import prepared_for
from harness.plan.plan import Plan
from harness.plan.stage import Stage
from harness.stages.schemas import PUBLISHED
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
    results: Mapping[str, Any] | None
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
    before = {key: list(prepared_for(plan, plan.stages[key])) for key in chosen}
    # Without the records of what was prepared for a checkpoint, its cost is not known.
    whole = {k for k, found in before.items() if all(store.has(s.kind, s.key) for s in found)}
    prepared = {stage.key for key in whole for stage in before[key]}
    for key, stage in plan.stages.items():
        wanted = stage.kind in ("corrupt", "train") or key in whole or key in prepared
        with_tensors = PUBLISHED.get(stage.kind) == "whole"
        if wanted and store.has(stage.kind, key, tensors=with_tensors):
            store.read(stage.kind, key)  # hashes it
            name = _name(stage, cells[key])
            yield _offer(request, store, stage, name, chosen.get(key, {}), provenance)


def _chosen(plan: Plan, store: Store) -> dict[str, Mapping[str, float]]:
    """The chosen ``unlearn`` stages with what was measured of them."""
    found: dict[str, Mapping[str, float]] = {}
    for group in plan.groups:
        keys = [c.evaluate for c in group.candidates]
        if all(store.has("evaluate", key) for key in keys):
            metrics = {key: store.record("evaluate", key)["metrics"] for key in keys}
            candidate = choose(group, metrics)
            found[candidate.unlearn] = metrics[candidate.evaluate]
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
    names = (RECORD, TENSORS) if PUBLISHED[stage.kind] == "whole" else (RECORD,)
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
    for group in plan.groups:
        cell = {name: str(value) for name, value in group.cell.point.items()}
        needed: set[str] = set()
        todo = [candidate.evaluate for candidate in group.candidates]
        while todo:
            key = todo.pop()
            if key not in needed:
                needed.add(key)
                todo += (source for _, source in plan.stages[key].inputs)
        for key in needed:
            values = found.setdefault(key, {})
            for name, value in cell.items():
                values.setdefault(name, set()).add(value)
    return found


def _name(stage: Stage, cells: Mapping[str, set[str]]) -> str:
    """A file name that says which cell it is, by the axes that matter; the key keeps it unique."""
    cell = [f"{name}={min(values)}" for name, values in cells.items() if len(values) == 1]
    words = [stage.kind, *(use.name for use in stage.uses), stage.subset, *cell]
    readable = safe_name("-".join(filter(None, [*words, f"seed={stage.cell.seed}"])))
    return f"{readable}-{stage.key[:8]}"
