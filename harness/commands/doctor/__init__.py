"""``harness doctor``: what this machine offers a run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
from tabulate import tabulate

from harness.commands.doctor.against import differences
from harness.commands.options import DATA_ROOT, STORE, Place
from harness.execute import environment
from harness.report import read_results


@click.command("doctor")
@STORE
@DATA_ROOT
@click.option(
    "--against",
    type=Place(),
    metavar="RESULTS",
    help="Say how this machine differs from the one that made these results (file or folder).",
)
def command(store: Path, data_root: Path | None, against: Path | None) -> None:
    """Say what this machine offers: versions, devices, data, Hub login.

    With --against the exit code is 1 where something differs that identical bytes need.
    """
    if against is None:
        click.echo(examine(store, data_root))
        return
    text, same_bytes = differences(read_results(against))
    click.echo(text)
    if not same_bytes:
        sys.exit(1)


def examine(store: Path, data_root: Path | None) -> str:
    """A table of versions, devices, threads, data and login."""
    rows = [
        *environment.versions().items(),
        ("cpu", f"{environment.cpu_model()}, {environment.cpu_count()} usable"),
        ("extensions", ", ".join(environment.cpu_extensions()) or "not known"),
        ("devices", _devices()),
        ("threads", "1 below 5 GFLOP a training step, else up to 8 (fixed, so bits stay)"),
        ("store", f"{store}{'' if store.exists() else ' (not there yet)'}"),
        ("data root", _data(data_root)),
        ("hub", _login()),
        ("plugins", ", ".join(f"{n} {v}" for n, v in environment.plugins().items()) or "none"),
    ]
    return tabulate(rows, tablefmt="plain")


def _devices() -> str:
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return ", ".join(["cpu", *gpus])


def _data(root: Path | None) -> str:
    if root is None:
        return "none named (--data-root or HARNESS_DATA); digits needs none"
    if not root.is_dir():
        return f"{root}: no such folder"
    folders = sorted(p.name for p in root.iterdir() if p.is_dir())
    return f"{root}: {', '.join(folders) or 'empty'}"


def _login() -> str:
    from huggingface_hub import get_token

    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "TRUE", "YES", "ON"}
    login = "a token is set" if get_token() else "not logged in (needed only to publish)"
    return f"{login}{', offline' if offline else ''}"
