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

FILE = CompletionItem("", type="file")
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


def offered(words: Callable[[click.Context], Iterable[str]], *more: CompletionItem) -> Complete:
    """Completes a word, or the last of a list, among ``words``; without one, offers ``more``."""

    def complete(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
        before = begun[: begun.rfind(",") + 1]
        try:
            known = [before + word for word in words(context)]
        except (HarnessError, StopIteration):
            known = []
        return [CompletionItem(word) for word in known if word.startswith(begun)] or [*more]

    return complete


def components(*kinds: str) -> Complete:
    """Completes the names of components, else of files."""
    return offered(lambda _: (name for kind in kinds for name in load(kind)), FILE)


def spec_of(context: click.Context) -> Spec:
    """The spec that stands on the command line. Raises HarnessError, StopIteration."""
    # Of a line that ends with an option, click has not yet told apart what its arguments are.
    return load_spec(Path(next(filter(None, [context.params.get("spec"), *context.args]))))


def conditions(spec: Spec) -> Iterator[str]:
    """Every ``AXIS=VALUE`` that ``--only`` takes."""
    yield from (f"method={method.label}" for method in spec.methods)
    yield from (f"seed={seeds.label}" for seeds in repetitions(spec.seeds))
    points = list(assignments(cell_blocks(spec)))
    for axis, path in axis_names(spec).items():
        yield from dict.fromkeys(f"{axis}={point[path]}" for point in points)
