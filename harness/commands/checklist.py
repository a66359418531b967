"""``harness checklist``: a venue's checklist, filled in as far as a run proves it."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.options import Place
from harness.report import author_checklist, read_results


@click.command("checklist")
@click.argument("folder", type=Place())
@click.option(
    "--kind",
    type=click.Choice(["variables", "neurips", "ml-reproducibility"]),
    default="variables",
    show_default=True,
    help="Which checklist.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["markdown", "latex"]),
    default="markdown",
    show_default=True,
    help="How it is written.",
)
@click.option("--out", type=Place(), help="Write it to this file.")
def command(folder: Path, kind: str, form: str, out: Path | None) -> None:
    """Fill in a checklist for a paper's authors from the results in FOLDER.

    What the run does not prove is marked for the authors to answer.
    """
    text = author_checklist(kind, form, read_results(folder))
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    else:
        click.echo(text, nl=False)
