"""``harness completion``: what makes a shell complete the command line, and words it offers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
)

from harness.components import load
from harness.errors import HarnessError
from harness.spec.blocks import Spec
from harness.spec.load import load_spec
from harness.spec.seeds import repetitions
from harness.spec.sweeps import assignments, axis_names, cell_blocks

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

SHELLS: dict[str, type[ShellComplete]] = {
    "bash": BashComplete,
    "zsh": ZshComplete,
    "fish": FishComplete,
}


@click.command("completion")
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL; source it from the shell's start-up file."""
    whole = context.find_root().command
    click.echo(SHELLS[shell](whole, {}, "harness", "_HARNESS_COMPLETE").source())


def components(*kinds: str) -> Complete:
    """Completes the names of components of these ``kinds``."""

    def complete(
        context: click.Context, parameter: click.Parameter, begun: str
    ) -> list[CompletionItem]:
        named = {c.name: c.summary for kind in kinds for c in load(kind).values()}
        found = [name for name in named if name.startswith(begun)]
        return [CompletionItem(name, help=named[name]) for name in found] or [
            CompletionItem(begun, type="file")
        ]

    return complete


def of_spec(words: Callable[[Spec], Iterable[str]]) -> Complete:
    """Completes words that the SPEC before them on the command line knows; of a list, the last."""

    def complete(
        context: click.Context, parameter: click.Parameter, begun: str
    ) -> list[CompletionItem]:
        # Of a line that ends with an option click has not yet told apart what its arguments are.
        files = [context.params.get("spec"), *context.args]
        try:
            known = list(words(load_spec(Path(next(filter(None, files))))))
        except (HarnessError, StopIteration):
            return []
        before = begun[: begun.rfind(",") + 1]
        return [
            CompletionItem(before + word) for word in known if (before + word).startswith(begun)
        ]

    return complete


def conditions(spec: Spec) -> Iterator[str]:
    """Every ``AXIS=VALUE`` that ``--only`` takes."""
    yield from (f"method={method.label}" for method in spec.methods)
    yield from (f"seed={seeds.label}" for seeds in repetitions(spec.seeds))
    points = list(assignments(cell_blocks(spec)))
    for axis, path in axis_names(spec).items():
        yield from dict.fromkeys(f"{axis}={point[path]}" for point in points)
