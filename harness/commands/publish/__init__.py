"""``harness publish``: what the store has for a plan goes to the Hub, and the registry says so."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import click

from harness.api import load
from harness.commands.options import ONLY, PROFILE, SPEC, STORE, warn
from harness.commands.publish.card import card, results_page, spec_path
from harness.commands.publish.licences import LICENCES
from harness.commands.publish.offers import Offer, PublishRequest, offers_of, placed
from harness.commands.publish.upload import read, upload
from harness.errors import HarnessError, RemoteError, UsageError, nearest
from harness.execute import environment
from harness.plan.kinds import kinds, store_at
from harness.plan.stage import address
from harness.report import read_results
from harness.report.pinned import settings_text
from harness.report.record import to_plain
from harness.spec.reader import read_text
from harness.spec.structure import unstructure
from harness.store.answers import Conflict
from harness.store.files import sha256
from harness.store.hub import Hub
from harness.store.registry import (
    INDEX,
    REPO,
    Entry,
    entries_in,
    find_registry,
    read_registry,
    safe_name,
    text_of,
    write_entries,
)
from harness.store.scrub import scrub

TRIES = 8  # when others commit at the same time


@click.command("publish")
@SPEC
@PROFILE
@click.option("--to", "repo", required=True, metavar="ORG/NAME", help="Repository on the Hub.")
@STORE
@click.option(
    "--registry",
    type=click.Path(path_type=Path),
    help="Where the registry files go.  [default: registry/ beside or above SPEC, or here]",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    help="Report folder.  [default: results/ID/PROFILE]",
)
@ONLY
@click.option("--seeds", metavar="0,1", help="Only checkpoints of these seeds.")
@click.option(
    "--include",
    metavar="KIND,...",
    default="",
    help="Everything of these kinds too: evaluate,prepare,unlearn spare a run all computing.",
)
@click.option(
    "--license", "licence", default="apache-2.0", show_default=True, help="Of the weights."
)
@click.option("--private", is_flag=True, help="Make the repository private.")
@click.option("--revision", metavar="BRANCH", help="Commit there.  [default: main]")
@click.option("--create-pr", is_flag=True, help="Open a pull request instead.")
@click.option("--message", help="Of the commits.")
@click.option("--collection", metavar="SLUG", help="Add the repository to this collection.")
@click.option("--dry-run", is_flag=True, help="Say what would be uploaded; no network.")
def command(
    spec: Path,
    profile: str | None,
    store: Path,
    registry: Path | None,
    results: Path | None,
    only: tuple[str, ...],
    seeds: str | None,
    include: str,
    **how: Any,
) -> None:
    """Upload what the store has for SPEC, and write its registry file.

    Base models, what they were trained on, and chosen checkpoints that are not in the registry go
    up beside what the repository holds. Review and commit the registry file.
    """
    experiment = load(spec, profile)
    folder = results or experiment.folder
    place = registry or find_registry(spec.parent, Path()) or Path("registry")
    chosen = [f"seed={seed.strip()}" for seed in seeds.split(",")] if seeds else []
    request = PublishRequest(
        plan=experiment.plan([*only, *chosen]),
        profile=experiment.profile,
        spec_file=spec,
        store=store,
        registry=place,
        results=read_results(folder) if results or folder.exists() else None,
        include=tuple(filter(None, include.replace(" ", "").split(","))),
        **how,
    )
    known = read_registry(place, kinds(), experiment.spec.id, warn, request.plan.stages)
    click.echo(publish(request, known, Hub()))


def publish(request: PublishRequest, known: Mapping[str, Entry], hub: Hub) -> str:
    """Upload what is new, then write the registry file. Says what was done.

    Raises:
        UsageError: repository, licence or kinds are not ones.
        RemoteError: the Hub cannot be reached or refuses; the registry is as it was.
        IntegrityError: an artifact of the store is damaged.
    """
    _check(request)
    provenance = _provenance(request)
    settings = settings_text(unstructure(request.plan.spec))
    store = store_at(request.store)
    found = list(offers_of(request, store, sha256(provenance), address(settings)))
    if not found:
        return f"nothing to publish: {request.store} holds nothing of the plan; run the spec first"
    offers = [o for o in found if not _is_known(o, known)]
    if not offers:
        return f"nothing new to publish: the registry has what {request.store} holds for the plan"
    pinned = [file for offer in offers for file in offer.entry.files.values()]
    size = sum(file.bytes for file in pinned)
    what = f"{len(offers)} checkpoints, {len(pinned)} files, {size:,} bytes"
    if request.dry_run:
        listed = "\n".join(f"  {file.path}" for offer in placed(offers, ()) for file in
                           offer.entry.files.values())  # fmt: skip
        return f"would publish {what} to {request.repo}:\n{listed}"
    message, target = request.message or f"{request.plan.spec.id}: {what}", request.repo
    if request.create_pr:
        revision, target = hub.pull_request(request.repo, message)
        request = attrs.evolve(request, revision=revision)
    else:
        hub.create(request.repo, private=request.private)
    for _ in range(TRIES):
        with suppress(Conflict):
            entries = _put(request, offers, provenance, settings, message, hub)
            break
    else:
        raise RemoteError(
            f"{request.repo} was changed by others {TRIES} times in a row; publish again"
        )
    if request.collection:
        hub.collect(request.repo, request.collection)
    write_entries(entries[0].file, entries, kinds())
    return f"published {what} to {target} at {entries[0].commit}\n  {entries[0].file}"


def _check(request: PublishRequest) -> None:
    if not re.fullmatch(REPO, request.repo) or ".." in request.repo:
        raise UsageError(f"--to {request.repo!r}: ORG/NAME is needed, of letters, digits, . _ -")
    if request.licence not in LICENCES:
        raise UsageError(
            f"--license {request.licence!r}: not one that the Hub knows"
            f"{nearest(request.licence, LICENCES)} (or 'other')"
        )
    for kind in request.include:
        if kind not in kinds():
            there = ", ".join(kinds())
            raise UsageError(f"--include {kind}: no such kind of stage{nearest(kind, kinds())} "
                             f"(kinds: {there})")  # fmt: skip


def _is_known(offer: Offer, known: Mapping[str, Entry]) -> bool:
    """Whether the registry has everything of ``offer``."""
    entry = known.get(offer.stage.key)
    return entry is not None and entry.files.keys() >= offer.entry.files.keys()


def _put(
    request: PublishRequest,
    offers: list[Offer],
    provenance: bytes,
    settings: str,
    message: str,
    hub: Hub,
) -> list[Entry]:
    """Commit ``offers`` beside what the repository holds, and a card of everything.

    Raises:
        Conflict: somebody else committed meanwhile.
    """
    repo, revision, spec = request.repo, request.revision, request.plan.spec
    head = hub.head(repo, revision)
    there = hub.files(repo, head)
    listed = read(hub, repo, head, INDEX, there)
    before = entries_in(listed, Path(repo, INDEX), kinds(), repo=repo, commit=head)
    offers = list(placed(offers, before))
    merged = {e.key: e for e in (*before, *(o.entry for o in offers))}
    index = text_of(merged.values(), pinned=False).encode()
    digest = offers[0].entry.spec["digest"]
    files = {o.entry.files[name].path: c for o in offers for name, c in o.files.items()}
    around: dict[str, bytes | Path] = {
        f"provenance/{sha256(provenance)}.json": provenance,
        spec_path(spec.id, digest): _with_seeds(settings, digest, merged.values()).encode(),
        INDEX: index,
    }
    if request.results is not None:
        name = safe_name(f"{spec.id}-{request.profile or 'default'}")
        around[f"results/{name}.md"] = scrub(results_page(request.results)).encode()
    commit = upload(hub, repo, files, around, message, head, there, revision)
    if sha256(index).encode() not in read(hub, repo, head, "README.md", there):
        specs: dict[str, Mapping[str, Any]] = {digest: unstructure(spec)}
        for entry in before:
            if (other := entry.spec["digest"]) not in specs:
                path = spec_path(entry.spec["id"], other)
                specs[other] = _plain(read(hub, repo, head, path, there), path)
        text = card(repo, commit, list(merged.values()), specs, request.licence, sha256(index))
        page = {"README.md": scrub(text).encode()}
        hub.commit(repo, page, message, parent=commit, revision=revision)
    return [attrs.evolve(offer.entry, commit=commit) for offer in offers]


def _plain(text: bytes, name: str) -> Mapping[str, Any]:
    """A spec that somebody else published, as far as it can be read."""
    try:
        found = read_text(text.decode(), name).data
    except (HarnessError, UnicodeDecodeError):
        found = None
    return found if isinstance(found, dict) else {}


def _with_seeds(settings: str, digest: str, entries: Iterable[Entry]) -> str:
    """The spec, which says first of which of its seeds checkpoints are published."""
    seeds = {str(e.seed) for e in entries if e.spec["digest"] == digest}
    return f"# Published: checkpoints of seeds {', '.join(sorted(seeds))}.\n{settings}"


def _provenance(request: PublishRequest) -> bytes:
    """How the numbers came about, as JSON: that of the report, or what is known now."""
    if request.results:
        found = to_plain(request.results.provenance)
    else:
        found = {
            "versions": environment.versions(),
            "machine": environment.machine(("cpu",)),
            "git": environment.git_state(request.spec_file.resolve().parent),
        }
    return scrub(json.dumps(found, indent=1, sort_keys=True) + "\n").encode()
