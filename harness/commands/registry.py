"""``harness registry``: are the entries well-formed, and of specs that are there?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from harness.commands.options import registry_of
from harness.errors import IntegrityError, UsageError
from harness.plan.kinds import kinds
from harness.plan.protocol import compile_plan
from harness.spec.blocks import Spec
from harness.spec.load import load_spec, specs_below
from harness.store.registry import Entry, scan


@click.group("registry")
def command() -> None:
    """Check the registry of published checkpoints."""


@command.command("check")
@click.option(
    "--registry",
    "folder",
    type=click.Path(path_type=Path),
    help="The registry.  [default: registry/ here or above]",
)
@click.option(
    "--specs", type=click.Path(path_type=Path), default=Path("specs"), help="Folder of the specs."
)
def _check(folder: Path | None, specs: Path) -> None:
    """Check that every entry is well-formed, single, and the key of a spec."""
    place = registry_of(specs, folder)
    if place is None:
        raise UsageError("no registry folder here or above; name one with --registry")
    click.echo(check_registry(place, specs))


def check_registry(folder: Path, specs: Path) -> str:
    """Check every entry below ``folder`` against the specs below ``specs``.

    Raises:
        IntegrityError: with every entry that is malformed, doubled, or of no spec.
    """
    if not specs.is_dir():
        raise UsageError(f"--specs {specs}: no such folder")
    entries, wrong = scan(folder, kinds())
    problems = [sentence for each in wrong.values() for sentence in each]
    loaded = {spec.id: (file, spec) for file in specs_below(specs) for spec in [load_spec(file)]}
    by_spec: dict[str, list[Entry]] = {}
    for entry in entries.values():
        by_spec.setdefault(entry.spec["id"], []).append(entry)
    for name, found in by_spec.items():
        if name in loaded:
            problems += _strangers(found, *loaded[name])
        else:
            problems += [f"{entry.place}: no spec {name!r} below {specs}" for entry in found]
    if problems:
        raise IntegrityError("\n".join(problems))
    return f"{len(entries)} entries in {folder} are well-formed, and keys of specs in {specs}"


def _strangers(entries: list[Entry], file: Path, spec: Spec) -> Iterator[str]:
    """A sentence for each of ``entries`` whose key no profile of ``spec`` gives."""
    left = {entry.key: entry for entry in entries}
    named = [entry.spec.get("profile") for entry in entries]
    # The profiles that the entries name come first: the others are seldom needed.
    for profile in dict.fromkeys([*named, None, *spec.profiles]):
        if not left:
            return
        try:
            several = profile.replace("+", ",") if profile else None
            stages = compile_plan(load_spec(file, several)).stages
        except UsageError:  # no such profile any more
            continue
        left = {k: e for k, e in left.items() if k not in stages or stages[k].kind != e.kind}
    for key, entry in left.items():
        yield f"{entry.place}: no {entry.kind} stage of {file} has the key {key[:12]}"
