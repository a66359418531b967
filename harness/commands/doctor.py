"""``harness doctor``: what this machine offers a run."""

from __future__ import annotations

import os
from pathlib import Path

from tabulate import tabulate

from harness.execute import environment


def examine(store: Path, data_root: Path | None) -> str:
    """A table of versions, devices, threads, data and login."""
    rows = [
        *environment.versions().items(),
        ("cpu", f"{environment.cpu_model()}, {environment.cpu_count()} usable"),
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
