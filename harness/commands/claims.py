"""``harness claims``: judges claims that run over the results of several specs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

import click

from harness.commands.options import Place
from harness.errors import HarnessError, UsageError
from harness.report import Results, read_results
from harness.report.claims import judge
from harness.report.printed import CLAIMS, FORMS, captioned
from harness.report.tables import verdicts_table
from harness.report.verdict import Verdict
from harness.spec.load import CLAIMS_FILE, is_claims_file, load_claims, profile_names


@click.command("claims")
@click.argument("path", type=Place())
@click.argument("results", type=Place(), default=Path("results"))
@click.option("--profile", metavar="NAME,...", help="Judge by the results of these profiles.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMS),
    default="github",
    show_default=True,
    help="How the tables are printed.",
)
def command(path: Path, results: Path, profile: str | None, form: str) -> None:
    """Judge the claims files in PATH (a file or folder) by the results of their specs.

    They are looked for in RESULTS/ID/PROFILE. Exit code 1: a claim deviates.
    """
    folder = "+".join(profile_names(profile)) or "default"
    verdicts = []
    for file in _claims_files(path):
        found = list(verdicts_of(file, results, folder))
        click.echo(captioned(verdicts_table(found), CLAIMS, form))
        verdicts += found
    deviating = sum(verdict.verdict == "deviates" for verdict in verdicts)
    if deviating:
        raise HarnessError(f"{deviating} of {len(verdicts)} claims deviate")


def _claims_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = [file for file in sorted(path.rglob("*.yaml")) if is_claims_file(file)]
    if not files:
        raise UsageError(f"{path}: no claims file (*{CLAIMS_FILE}) in this folder")
    return files


def verdicts_of(file: Path, results: Path, folder: str) -> Iterator[Verdict]:
    """The verdict on each claim in ``file``, from the results in ``results``/ID/``folder``.

    Raises:
        SpecError, UsageError: the claims file or a results file is wrong.
    """
    read = cache(partial(_read, results, folder))
    for claim in load_claims(file).claims:
        found = {spec: read(spec) for spec in claim.specs}
        places = (results / spec / folder for spec, known in found.items() if known is None)
        missing = [f"no results of {place.parent.name} at {place}" for place in places]
        yield judge(claim, [known for known in found.values() if known is not None], missing)


def _read(results: Path, folder: str, spec: str) -> Results | None:
    place = results / spec / folder
    found = read_results(place) if (place / "results.json").exists() else None
    return found if found is not None and found.spec["id"] == spec else None
