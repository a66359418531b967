"""``harness list``: the components that are installed."""

from __future__ import annotations

import click
from tabulate import tabulate

from harness.commands.completion import offered
from harness.components import KINDS, load
from harness.errors import UsageError, nearest


@click.command("list")
@click.argument("kind", required=False, shell_complete=offered(lambda context: KINDS))
def command(kind: str | None) -> None:
    """List the installed components, of one KIND (methods, metrics, datasets, ...) or all."""
    click.echo(listing(kind))


def listing(kind: str | None) -> str:
    """The installed components of ``kind``, or of every kind. Raises UsageError."""
    if kind is not None and kind not in KINDS:
        raise UsageError(f"no kind {kind!r}{nearest(kind, KINDS)} (kinds: {', '.join(KINDS)})")
    parts = []
    for name in [kind] if kind else KINDS:
        rows = [[c.name, c.revision, c.summary] for c in load(name).values()]
        parts.append(f"{name}\n" + tabulate(rows, headers=["name", "revision", ""]))
    return "\n\n".join(parts)
