"""``harness report``: prints a report's tables, or writes it again from its results."""

from __future__ import annotations

from pathlib import Path

import click

from harness.report import read_results, render, write_report


@click.command("report")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["github", "latex", "html", "csv"]),
    help="Print the tables; without it the report is written again.",
)
def command(folder: Path, form: str | None) -> None:
    """Print or write again the report of the results in FOLDER."""
    results = read_results(folder)
    if form:
        click.echo(render(results, form))
    else:
        for file in write_report(results, folder):
            click.echo(file)
