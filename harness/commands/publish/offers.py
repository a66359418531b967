"""What the store holds of a plan that can be published, and what it is called."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from harness.components import get
from harness.execute.retention import choose
from harness.execute.reuse import models_of, prepared_for
from harness.plan.kinds import kind_of
from harness.plan.model_config import config
from harness.plan.plan import Plan
from harness.plan.stage import Stage, canonical
from harness.report.results import Results
from harness.store import Store
from harness.store.files import file_sha256, sha256
from harness.store.registry import CONFIG, Entry, Pinned, safe_name
from harness.store.store import RECORD, TENSORS


@frozen(kw_only=True)
class PublishRequest:
    """What ``harness publish`` was asked to do; ``include`` names kinds of stages that are not
    published by themselves, or of which not everything is."""

    plan: Plan
    profile: str | None
    spec_file: Path
    store: Path
    repo: str
    registry: Path
    results: Results | None
    licence: str
    include: Collection[str] = ()
    private: bool = False
    revision: str | None = None
    create_pr: bool = False
    message: str | None = None
    collection: str | None = None
    dry_run: bool = False


@frozen
class Offer:
    """A checkpoint that can be published: its local files, and its entry without a commit."""

    stage: Stage
    files: Mapping[str, Path | bytes]
    entry: Entry


def offers_of(
    request: PublishRequest, store: Store, provenance: str, digest: str
) -> Iterator[Offer]:
    """Base models and what they were trained on, chosen checkpoints, records of their preparation,
    and what ``include`` names, as far as the store has them whole. ``digest`` is that of the spec.
    """
    plan = request.plan
    cells = _cells(plan)
    chosen = _chosen(plan, store)
    labels = {c.unlearn: g.method.label for g in plan.groups for c in g.candidates}
    measured = _of_base(plan, store) | chosen
    before = {key: list(prepared_for(plan, plan.stages[key])) for key in chosen}
    # Without the records of what was prepared for a checkpoint, its cost is not known.
    whole = {k for k, found in before.items() if all(store.has(s.kind, s.key) for s in found)}
    prepared = {stage.key for key in whole for stage in before[key]}
    for key, stage in plan.stages.items():
        kind = kind_of(stage)
        included = kind.name in request.include
        names = [RECORD]
        if kind.published_whole or included:
            names += [TENSORS] if kind.tensors else []
        wanted = included or kind.published == "whole" or key in whole or key in prepared
        if included and not store.has(stage.kind, key, tensors=TENSORS in names):
            names = [RECORD]  # of a candidate that was not chosen
        if not wanted or not store.has(stage.kind, key, tensors=TENSORS in names):
            continue
        if "diverged" in store.read(stage.kind, key).record:  # which is hashed here, too
            continue
        files: dict[str, Path | bytes] = {n: store.path(stage.kind, key) / n for n in names}
        name, cell = labels.get(key, stage.kind), cells[key]
        if kind.weights and TENSORS in names:
            files[CONFIG] = config(stage, name, cell).encode()
        path = _path(request, stage, labels.get(key), cell)
        pinned = {n: Pinned(f"{path}/{n}", _sha256(f), _bytes(f)) for n, f in files.items()}
        entry = Entry(
            file=request.registry / f"{plan.spec.id}.jsonl",
            key=key,
            kind=stage.kind,
            path=path,
            repo=request.repo,
            commit="",
            files=pinned,
            spec={
                "id": plan.spec.id,
                "version": plan.spec.version,
                "profile": request.profile,
                "digest": digest,
            },
            method=name,
            cell=cell,
            seed=stage.cell.seed,
            metrics={n: v if isfinite(v) else None for n, v in measured.get(key, {}).items()},
            provenance=provenance,
        )
        yield Offer(stage, files, entry)


def placed(offers: Iterable[Offer], there: Iterable[Entry]) -> Iterator[Offer]:
    """``offers`` with paths of their own beside those of what is ``there``: that which a key has,
    or one with the beginning of the key where its path is another's."""
    before = {entry.key: entry.path for entry in there}
    keys = {path: key for key, path in before.items()}
    for offer in offers:
        key = offer.stage.key
        path = before.get(key, offer.entry.path)
        if keys.setdefault(path, key) != key:
            path += f"-{key[:8]}"
        files = {n: attrs.evolve(f, path=f"{path}/{n}") for n, f in offer.entry.files.items()}
        yield attrs.evolve(offer, entry=attrs.evolve(offer.entry, path=path, files=files))


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


def _sha256(content: Path | bytes) -> str:
    return sha256(content) if isinstance(content, bytes) else file_sha256(content)


def _bytes(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _cells(plan: Plan) -> dict[str, dict[str, Any]]:
    """For each stage the axes that have one value in all cells that need it."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for choice in plan.choices:
        for key in plan.needed(choice.measurements):
            values = found.setdefault(key, {})
            for name, value in choice.groups[0].cell.point.items():
                plain = value if isinstance(value, str | int | float | bool) else canonical(value)
                values.setdefault(name, {})[str(plain)] = plain
    return {
        key: {name: next(iter(each.values())) for name, each in axes.items() if len(each) == 1}
        for key, axes in found.items()
    }


def _path(request: PublishRequest, stage: Stage, label: str | None, cell: Mapping[str, Any]) -> str:
    """``tiny/default/ssd/discovered=0.5/seed=0``: the axes that matter, in readable words."""
    words = [stage.kind, *(use.name for use in stage.uses), stage.detail.get("subset")]
    label = label or "-".join(filter(None, words[:4]))
    parts = [
        request.plan.spec.id,
        request.profile or "default",
        label,
        *(f"{name}={value}" for name, value in cell.items()),
        f"seed={stage.cell.seed}",
    ]
    return "/".join(safe_name(part) or "_" for part in parts)
