"""``harness publish``: what the store has for a plan goes to the Hub, and the registry says so."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import attrs
import click

from harness.api import load
from harness.commands.options import PROFILE, SPEC, STORE
from harness.commands.publish.card import card
from harness.commands.publish.offers import Offer, PublishRequest, offers_of
from harness.commands.publish.upload import upload, write_entries
from harness.errors import UsageError
from harness.execute import environment
from harness.plan.kinds import publishable, store_at
from harness.plan.stage import address
from harness.report import read_results
from harness.report.pinned import settings_text
from harness.report.record import to_plain
from harness.spec.structure import unstructure
from harness.store.files import sha256
from harness.store.hub import Hub
from harness.store.registry import REPO, Entry, find_registry, path_in_repo, read_registry
from harness.store.scrub import scrub


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
@click.option(
    "--license", "licence", default="apache-2.0", show_default=True, help="Of the weights."
)
@click.option("--private", is_flag=True, help="Make the repository private.")
@click.option("--dry-run", is_flag=True, help="Say what would be uploaded; no network.")
def command(
    spec: Path,
    profile: str | None,
    repo: str,
    store: Path,
    registry: Path | None,
    results: Path | None,
    licence: str,
    private: bool,
    dry_run: bool,
) -> None:
    """Upload what the store has for SPEC, and write its registry files.

    Base models, what they were trained on, and chosen checkpoints that are not in the registry go
    up in one commit. Review and commit the registry files.
    """
    experiment = load(spec, profile)
    folder = results or experiment.folder
    place = registry or find_registry(spec.parent, Path()) or Path("registry")
    request = PublishRequest(
        plan=experiment.plan(),
        profile=experiment.profile,
        spec_file=spec,
        store=store,
        repo=repo,
        registry=place,
        results=read_results(folder) if results or folder.exists() else None,
        licence=licence,
        private=private,
        dry_run=dry_run,
    )
    click.echo(publish(request, read_registry(place, publishable()), Hub()))


def publish(request: PublishRequest, known: Mapping[str, Entry], hub: Hub) -> str:
    """Upload what is new in one commit, then write the registry files. Says what was done.

    Raises:
        RemoteError: the Hub cannot be reached or refuses; the registry is as it was.
        IntegrityError: an artifact of the store is damaged.
    """
    if not re.fullmatch(REPO, request.repo) or ".." in request.repo:
        raise UsageError(f"--to {request.repo!r}: ORG/NAME is needed, of letters, digits, . _ -")
    provenance = _provenance(request)
    store = store_at(request.store)
    found = list(offers_of(request, store, sha256(provenance)))
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
    commit = upload(hub, request.repo, files, f"{request.plan.spec.id}: {what}")
    entries = [attrs.evolve(offer.entry, commit=commit) for offer in offers]
    write_entries(entries)
    written = "\n".join(f"  {entry.file}" for entry in entries)
    return f"published {what} to {request.repo} at {commit}\n{written}"


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


def _contents(
    request: PublishRequest, offers: list[Offer], before: list[Entry], provenance: bytes
) -> dict[str, bytes | Path]:
    """Every file of the commit, by path in the repository."""
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
        spec_digest=address(settings),
        entries=[*before, *(offer.entry for offer in offers)],
        results=request.results,
        licence=request.licence,
    )
    files["README.md"] = scrub(text).encode()
    return files
