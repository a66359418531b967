"""``harness schema``: the spec language for editors."""

from __future__ import annotations

from pathlib import Path

import click

from harness.spec.schema import schema_text


@click.command("schema")
@click.option("--write", type=click.Path(path_type=Path), help="Write it to this file.")
def command(write: Path | None) -> None:
    """Print the JSON Schema of the spec language, for editors."""
    if write:
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_text(schema_text(), encoding="utf-8")
    else:
        click.echo(schema_text(), nl=False)
