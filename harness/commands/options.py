"""Options that several commands share, and what they stand for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

import click

from harness.api import load
from harness.commands.completion import components, conditions, offered, spec_of
from harness.errors import UsageError
from harness.store.registry import find_registry
from harness.store.store import default_folder

Command = Callable[..., Any]


class Place(click.Path):
    """A path, which is neither empty nor one that no file can have."""

    def __init__(self, **checks: bool) -> None:
        super().__init__(path_type=Path, **checks)

    def convert(self, value: Any, *of: Any) -> Any:
        if not str(value) or "\0" in str(value):
            self.fail(f"{str(value)!r} is no path of a file or folder", *of)
        return super().convert(value, *of)


SPEC = click.argument("spec", type=Place())
PROFILE = click.option(
    "--profile",
    metavar="NAME,...",
    help="Apply profiles of the spec, in order.",
    shell_complete=offered(lambda context: spec_of(context).profiles),
)
SETS = click.option(
    "--set", "sets", multiple=True, metavar="PATH=VALUE", help="Override one value."
)
ADDED = click.option(
    "--add-method",
    "methods",
    multiple=True,
    metavar="METHOD",
    help="One more method: a name, a mapping ({name: ssd, alpha: 10}) or a YAML file; repeatable.",
    shell_complete=components("methods"),
)
SEEDS = click.option("--seeds", metavar="0,1", help="Use these seeds instead of the spec's.")
STORE = click.option(
    "--store",
    type=Place(),
    default=default_folder,
    help="Where artifacts lie.  [default: $HARNESS_STORE or ~/.cache/harness/store]",
)
DATA_ROOT = click.option(
    "--data-root",
    type=Place(),
    envvar="HARNESS_DATA",
    help="Folder that holds data sets.  [env: HARNESS_DATA]",
)
ONLY = click.option(
    "--only",
    multiple=True,
    metavar="AXIS=VALUE",
    help="Only this method (method=ssd) or value of an axis (discovered=0.5); repeatable.",
    shell_complete=offered(lambda context: conditions(spec_of(context))),
)
REGISTRY = click.option(
    "--registry",
    type=Place(),
    help="Registry of published checkpoints.  [default: registry/ beside or above SPEC]",
)
DEVICE = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1."
)


def changes(sets: tuple[str, ...], seeds: str | None) -> tuple[str, ...]:
    """The changes of a spec that ``--set`` and ``--seeds`` ask for, as ``PATH=VALUE``."""
    return (*sets, *([f"seeds=[{seeds}]"] if seeds is not None else []))


def changed_spec(command: Command) -> Command:
    """SPEC and the options that change what it says; ``command`` gets them as ``experiment``."""

    @wraps(command)
    def call(
        spec: Path,
        profile: str | None,
        sets: tuple[str, ...],
        seeds: str | None,
        methods: tuple[str, ...],
        **rest: Any,
    ) -> Any:
        experiment = load(spec, profile, changes(sets, seeds), methods)
        for notice in experiment.notices:
            click.echo(f"notice: {notice}", err=True)
        return command(experiment=experiment, **rest)

    for option in (SEEDS, SETS, ADDED, PROFILE, SPEC):
        call = option(call)
    return call


def registry_of(spec: Path, named: Path | None) -> Path | None:
    """The registry to read for the file ``spec``: the one that was named, or the nearest."""
    if named is not None and not named.is_dir():
        raise UsageError(f"--registry {named}: no such folder")
    return named or find_registry(spec.parent, Path())


def needed_registry(spec: Path, named: Path | None) -> Path:
    """As ``registry_of``. Raises UsageError where there is none."""
    place = registry_of(spec, named)
    if place is None:
        raise UsageError(f"no registry folder beside or above {spec}; name one with --registry")
    return place


def warn(text: str) -> None:
    """Say ``text`` beside what the command was asked for. A full disk under it stops no command."""
    with suppress(OSError):
        click.echo(f"notice: {text}", err=True)
