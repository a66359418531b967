"""``harness prose``: the numbers of a README, from the results near it."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.options import Place
from harness.errors import StageFailed, UsageError
from harness.report.prose import filled


@click.command("prose")
@click.argument("folder", type=Place())
@click.option("--check", is_flag=True, help="Write nothing; end with code 1 where one differs.")
def command(folder: Path, check: bool) -> None:
    """Fill in the marked numbers of every README.md in FOLDER from results in FOLDER.

    A mark is <!--n cpu healed method=ssd unit=%-->72.8<!--/n-->; CONTRIBUTING.md has the rest.
    """
    files = sorted(folder.rglob("README.md"))
    if not files:
        raise UsageError(f"{folder}: no README.md in it")
    differing = []
    for file in files:
        text = filled(file, folder)
        before = file.read_text(encoding="utf-8")
        for number, (old, new) in enumerate(
            zip(before.split("\n"), text.split("\n"), strict=True), 1
        ):
            if old != new:
                differing.append(f"{file}:{number}: {old.strip()}\n  results: {new.strip()}")
        if not check and text != before:
            file.write_text(text, encoding="utf-8")
    if check and differing:
        raise StageFailed("numbers that the results do not have:\n" + "\n".join(differing))
    click.echo(f"{len(files)} files, {len(differing)} lines {'differ' if check else 'rewritten'}")
