"""``harness leaderboard``: the results of many specs on one page."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.options import Place
from harness.report.leaderboard import as_github, as_html, as_json, entries
from harness.store.files import replace_file


@click.command("leaderboard")
@click.argument("folder", type=Place(file_okay=False, exists=True))
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "github", "json"]),
    default="html",
    show_default=True,
    help="What to write.",
)
@click.option(
    "--out",
    type=Place(dir_okay=False),
    help="The file.  [default: FOLDER/leaderboard.html; else the terminal]",
)
def command(folder: Path, form: str, out: Path | None) -> None:
    """Join every results.json below FOLDER into one page: methods against protocols.

    Files that cannot be read are named and left out.
    """
    found, left_out = entries(folder)
    for why in left_out:
        click.echo(f"left out: {why}", err=True)
    if form == "html":
        out = out or folder / "leaderboard.html"
        text = as_html(found, out.parent)
    else:
        text = as_github(found) if form == "github" else as_json(found)
    if out is None:
        click.echo(text, nl=False)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        replace_file(out, text.encode())
        click.echo(out)
