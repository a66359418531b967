"""``harness publish``: what the store has for a plan goes to the Hub, and the registry says so."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
from attrs import frozen

from harness.commands.card import card
from harness.errors import HarnessError, RemoteError, UsageError
from harness.execute import environment
from harness.execute.retention import choose
from harness.execute.reuse import prepared_for
from harness.plan.plan import Plan
from harness.plan.stage import Stage, digest
from harness.report.pinned import settings_text
from harness.report.record import to_plain
from harness.report.results import Results
from harness.store import Store
from harness.store.files import file_sha256, sha256, write_durably
from harness.store.hub import Conflict, Hub, Remote, scrub
from harness.store.registry import (
    REPO,
    Entry,
    Pinned,
    path_in_repo,
    safe_name,
)
from harness.store.store import RECORD, TENSORS

TRIES = 4  # when others commit at the same time


@frozen
class Offer:
    """A checkpoint that can be published: its local files and its entry without a commit."""

    stage: Stage
    files: Mapping[str, Path]
    entry: Entry


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


def publish(request: PublishRequest, known: Mapping[str, Entry], hub: Hub) -> str:
    """Upload what is new in one commit, then write the registry files. Says what was done.

    Raises:
        RemoteError: the Hub cannot be reached or refuses; the registry is as it was.
        IntegrityError: an artifact of the store is damaged.
    """
    if not re.fullmatch(REPO, request.repo) or ".." in request.repo:
        raise UsageError(f"--to {request.repo!r}: ORG/NAME is needed, of letters, digits, . _ -")
    provenance = _provenance(request)
    store = Store(request.store)
    found = list(_offers(request, store, sha256(provenance)))
    if not found:
        return f"nothing to publish: {request.store} holds nothing of the plan; run the spec first"
    offers = [o for o in found if o.stage.key not in known]
    if not offers:
        return f"nothing new to publish: the registry has what {request.store} holds for the plan"
    before = [entry for entry in known.values() if entry.repo == request.repo]
    files = _contents(request, offers, before, provenance)
    size = sum(len(c) if isinstance(c, bytes) else c.stat().st_size for c in files.values())
    what = f"{len(offers)} checkpoints, {len(files)} files, {size:,} bytes"
    if request.dry_run:
        listed = "\n".join(f"  {path}" for path in files)
        return f"would publish {what} to {request.repo}:\n{listed}"
    hub.create(request.repo, private=request.private)
    commit = _commit(hub, request.repo, files, f"{request.plan.spec.id}: {what}")
    entries = [attrs.evolve(offer.entry, commit=commit) for offer in offers]
    write_entries(entries)
    written = "\n".join(f"  {entry.file}" for entry in entries)
    return f"published {what} to {request.repo} at {commit}\n{written}"


def _provenance(request: PublishRequest) -> bytes:
    """How the numbers came about, as JSON: that of the report, or what is known now."""
    found = (
        to_plain(request.results.provenance)
        if request.results
        else {
            "versions": environment.versions(),
            "machine": environment.machine(("cpu",)),
            "git": environment.git_state(request.spec_file.resolve().parent),
        }
    )
    return scrub(json.dumps(found, indent=1, sort_keys=True) + "\n").encode()


def _offers(request: PublishRequest, store: Store, provenance: str) -> Iterator[Offer]:
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
        with_tensors = stage.kind != "prepare"
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
    names = (RECORD,) if stage.kind == "prepare" else (RECORD, TENSORS)
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


def _contents(
    request: PublishRequest, offers: list[Offer], before: list[Entry], provenance: bytes
) -> dict[str, bytes | Path]:
    """Every file of the commit, by path in the repository."""
    from harness.spec.structure import unstructure

    spec = unstructure(request.plan.spec)
    settings = settings_text(spec)
    files: dict[str, bytes | Path] = {
        path_in_repo(offer.stage.kind, offer.stage.key, name): file
        for offer in offers
        for name, file in offer.files.items()
    }
    files[f"provenance/{sha256(provenance)}.json"] = provenance
    files["spec.yaml"] = settings.encode()
    text = card(
        repo=request.repo,
        spec=spec,
        spec_digest=digest(settings),
        entries=[*before, *(offer.entry for offer in offers)],
        results=request.results,
        licence=request.licence,
    )
    files["README.md"] = scrub(text).encode()
    return files


def _commit(hub: Hub, repo: str, files: Mapping[str, bytes | Path], message: str) -> str:
    """The commit that holds all of ``files``: one that is there already, or a new one."""
    for _ in range(TRIES):
        head = hub.head(repo)
        there = hub.files(repo, head)
        new = {p: c for p, c in files.items() if p not in there or not _same(c, there[p])}
        if not new:
            return head
        try:
            commit = hub.commit(repo, new, message, head)
        except Conflict:
            continue
        there = hub.files(repo, commit)
        wrong = [p for p, c in files.items() if p not in there or not _same(c, there[p])]
        if wrong:
            raise RemoteError(f"{repo} at {commit}: {wrong[0]} did not arrive whole; publish again")
        return commit
    raise RemoteError(f"{repo} was changed by others {TRIES} times in a row; publish again")


def _same(content: bytes | Path, there: Remote) -> bool:
    """Whether the Hub's file is ``content``."""
    if there.sha256 is not None:
        known = sha256(content) if isinstance(content, bytes) else file_sha256(content)
        return known == there.sha256
    read = content if isinstance(content, bytes) else content.read_bytes()
    git = hashlib.sha1(b"blob %d\0" % len(read) + read, usedforsecurity=False)
    return git.hexdigest() == there.blob


def write_entries(entries: list[Entry]) -> None:
    """Write the files of ``entries``: all of them, or none.

    Raises:
        HarnessError: they cannot be written; what is on the Hub stays.
    """
    begun: list[tuple[Path, Path]] = []
    done: list[Path] = []
    try:
        for entry in entries:
            entry.file.parent.mkdir(parents=True, exist_ok=True)
            temporary = entry.file.with_name(f".{entry.file.name}.new")
            begun.append((temporary, entry.file))
            write_durably(temporary, entry.text().encode())
        for temporary, file in begun:
            temporary.replace(file)
            done.append(file)
    except OSError as problem:
        for file in [*(temporary for temporary, _ in begun), *done]:
            file.unlink(missing_ok=True)
        raise HarnessError(
            f"{entries[0].file.parent} cannot be written ({problem.strerror}), so no registry file "
            "was. The checkpoints are on the Hub; the same command writes the files once it can"
        ) from None
