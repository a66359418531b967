"""``harness validate``: checks specs, and runs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from harness.commands.options import ADDED, PROFILE, Place
from harness.errors import LONGEST, HarnessError, UsageError
from harness.spec.fit import unlikely
from harness.spec.load import is_claims_file, load_claims, load_with_origins
from harness.spec.places import SpecError
from harness.spec.reader import MAX_BYTES


@click.command("validate")
@click.argument("paths", nargs=-1, type=Place())
@PROFILE
@ADDED
def command(paths: tuple[Path, ...], profile: str | None, methods: tuple[str, ...]) -> None:
    """Check the specs in PATHS (files or folders; specs/ when none is named)."""
    files = [file for path in paths or (Path("specs"),) for file in spec_files(path)]
    bad = 0
    for file, said, fine in validate(files, profile, methods):
        click.echo(f"{file}: {said}" if fine else said, err=not fine)
        bad += not fine
    if bad:
        raise UsageError(f"{bad} of {len(files)} specs are wrong")


def validate(
    files: Sequence[Path], profile: str | None = None, methods: Sequence[str] = ()
) -> Iterator[tuple[Path, str, bool]]:
    """Each of ``files`` with what there is to say of it, and whether it is a spec."""
    for file in files:
        try:
            if is_claims_file(file):
                held = load_claims(file)
                yield file, f"ok ({held.id}, {len(held.claims)} claims)", True
                continue
            spec, _, left_out = load_with_origins(file, profile, (), methods)
            notices = "".join(f"\n  notice: {said}" for said in (*left_out, *unlikely(spec)))
            yield file, f"ok ({spec.id} {spec.version}){notices}", True
        except HarnessError as error:
            yield file, _pointed(error) if isinstance(error, SpecError) else str(error), False


def _pointed(error: SpecError) -> str:
    """Every problem above its line, with a caret at its place."""
    lines: dict[str, list[str]] = {}
    said: list[str] = []
    for problem in error.problems:
        said.append(str(problem))
        place, before = problem.place, problem.place.column - 1
        if place.file not in lines and Path(place.file).is_file():
            with Path(place.file).open("rb") as file:
                text = file.read(MAX_BYTES).decode("utf-8-sig", errors="replace")
            lines[place.file] = text.splitlines()
        for line in lines.get(place.file, [])[place.line - 1 : place.line]:
            start = max(0, before - LONGEST // 2) if len(line) > LONGEST else 0
            part = line[start : start + LONGEST]
            shown = "".join(c if c.isprintable() else " " for c in part)
            said += [f"    {shown}", f"    {' ' * (before - start)}^"]
    return "\n".join(said)


def spec_files(path: Path) -> list[Path]:
    """``path``, or every spec below it where it is a folder."""
    if not path.is_dir():
        return [path]
    files = sorted(path.rglob("*.yaml"))
    if not files:
        raise UsageError(f"{path}: no spec (*.yaml) in this folder")
    return files
