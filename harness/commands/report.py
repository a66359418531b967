"""``harness report``: prints a report's tables, or writes it again from its results."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.options import Place
from harness.report import narrowed, read_results, render, write_report


@click.command("report")
@click.argument("folder", type=Place())
@click.option(
    "--format",
    "form",
    type=click.Choice(["github", "latex", "html", "csv"]),
    help="Print the tables; without it and the next two the report is written again.",
)
@click.option("--metrics", help="Print these metrics alone: NAME,NAME.")
@click.option(
    "--by",
    type=click.Choice(["method", "cell"]),
    help="Print one row for each method (mean over cells), or for each method in each cell.",
)
def command(folder: Path, form: str | None, metrics: str | None, by: str | None) -> None:
    """Print or write again the report of the results in FOLDER."""
    results = read_results(folder)
    if not (form or metrics or by):
        for file in write_report(results, folder):
            click.echo(file)
        return
    if metrics is not None:
        results = narrowed(results, [name.strip() for name in metrics.split(",")])
    click.echo(render(results, form or "github", by))
