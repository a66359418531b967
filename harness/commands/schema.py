"""``harness schema``: the spec language for editors."""

from __future__ import annotations

from pathlib import Path

import click

from harness.components import KINDS, load
from harness.spec.schema import schema_text


@click.command("schema")
@click.option("--write", type=click.Path(path_type=Path), help="Write it to this file.")
def command(write: Path | None) -> None:
    """Print the JSON Schema of the spec language, for editors.

    It covers every installed component, those of other packages too.
    """
    installed = [component for kind in KINDS for component in load(kind).values()]
    others = [f"{c.kind} {c.name}" for c in installed if not c.built_in]
    named = f", of them from other packages: {', '.join(others)}" if others else ""
    click.echo(f"a schema of {len(installed)} components{named}", err=True)
    if write:
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_text(schema_text(), encoding="utf-8")
    else:
        click.echo(schema_text(), nl=False)
