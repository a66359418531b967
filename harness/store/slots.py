"""The state of a stage that is under way, so that it goes on after an interruption."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import IntegrityError
from harness.store.files import content_of, explained, replace_file, sha256
from harness.store.tensors import apart

if TYPE_CHECKING:
    import torch


class Slot:
    """One file that is replaced whole: a SHA-256, then safetensors whose header holds the JSON
    and whose state it is.

    ``due`` says every ``every_seconds`` that it is time to save; when that is changes no number.
    """

    def __init__(self, folder: Path, every_seconds: float, name: str = "state") -> None:
        self.folder = folder
        self.file = folder / f"{name}.bin"
        self.every_seconds = every_seconds
        self.owner = f"{folder.name}/{name}"
        self._saved = time.monotonic()

    def named(self, name: str) -> Slot:
        """Another slot of the same stage."""
        return Slot(self.folder, self.every_seconds, name)

    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self._saved >= self.every_seconds

    def save(self, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        """Replace what was saved. Raises StoreError when there is no room."""
        from safetensors.torch import save

        content = save(apart(tensors), metadata={"of": self.owner, "state": json.dumps(state)})
        with explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(self.file, sha256(content).encode() + content)
        self._saved = time.monotonic()

    def load(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """What was saved, or None when there is nothing, or it is damaged or another stage's."""
        from safetensors.torch import load

        try:
            stored = content_of(self.file)
        except IntegrityError:
            return None
        content = stored[64:]
        if sha256(content).encode() != stored[:64]:
            return None
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        found = header["__metadata__"]
        if found.get("of") != self.owner:
            return None
        return load(content), json.loads(found["state"])

    def clear(self) -> None:
        """Forget everything that was saved for the stage."""
        shutil.rmtree(self.folder, ignore_errors=True)
