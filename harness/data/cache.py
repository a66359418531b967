"""Decoded data sets that are kept in a folder of ours, so that each is decoded once."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.lazy import torch

Kept = tuple["dict[str, torch.Tensor]", "dict[str, str]"]


def name(files: Iterable[Path], *settings: Any) -> str:
    """What the decoded ``files`` are called: SHA-256 of their bytes and of the ``settings``."""
    sha = hashlib.sha256(json.dumps(settings).encode())
    for file in files:
        with file.open("rb") as stream:
            sha.update(hashlib.file_digest(stream, "sha256").digest())
    return sha.hexdigest()


def read(file: Path) -> Kept | None:
    """What ``file`` keeps, tensors and texts by name, or None where it is not there or damaged.

    Tensors are mapped rather than read: a subset touches only its own pages.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != file.with_suffix(".sha256").read_text():
            return None
        with safe_open(file, "pt") as kept:
            tensors = {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118
            return tensors, kept.metadata() or {}
    except (OSError, SafetensorError):
        return None


def write(
    file: Path, tensors: Mapping[str, torch.Tensor], texts: Mapping[str, str] | None = None
) -> None:
    """Keep ``tensors`` and ``texts``; without room or permission there is just no cache."""
    from safetensors.torch import save

    content = save(dict(tensors), dict(texts) if texts else None)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        for path, part in (
            (file, content),
            (file.with_suffix(".sha256"), hashlib.sha256(content).hexdigest().encode()),
        ):
            with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as stream:
                stream.write(part)
            os.replace(stream.name, path)
    except OSError:
        return
