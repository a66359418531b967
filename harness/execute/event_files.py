"""Event files for TensorBoard: a folder for each stage, with its losses and its metrics."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.execute.progress import Names, Silent
from harness.plan.stage import Stage
from harness.store import Store

LONGEST = 120  # letters of a folder's name


class EventFiles(Silent):
    """Writes what it is told. A stage that goes on, or is run again, appends to its folder.

    Raises:
        UsageError: the package tensorboard is not installed.
    """

    def __init__(self, names: Names, store: Store, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UsageError(
                "--log-dir needs the package tensorboard: "
                "pip install 'harness-unlearning[tensorboard]'"
            ) from None
        self.names, self.store, self.folder = names, store, folder
        self.open_file: Any = SummaryWriter
        self.files: dict[str, Any] = {}
        self.last: dict[str, float] = {}

    def stepped(self, stage: Stage, done: int, total: int, loss: float | None) -> None:
        if loss is not None and self.last.get(stage.key) != loss:  # told again between losses
            self.last[stage.key] = loss
            self._file(stage).add_scalar("loss", loss, done)

    def finished(self, stage: Stage, seconds: float) -> None:
        metrics = self.store.record(stage.kind, stage.key).get("metrics", {})
        for name, value in metrics.items():
            self._file(stage).add_scalar(f"metrics/{name}", value, 0)
        self._close(stage.key)

    def failed(self, stage: Stage, error: str) -> None:
        self._close(stage.key)

    def _file(self, stage: Stage) -> Any:
        if stage.key not in self.files:
            name = re.sub(r"[^\w.=-]+", "_", self.names(stage.key))[:LONGEST].strip("_.")
            self.files[stage.key] = self.open_file(str(self.folder / f"{name}-{stage.key[:8]}"))
        return self.files[stage.key]

    def _close(self, key: str) -> None:
        if key in self.files:
            self.files.pop(key).close()

    def __exit__(self, *_: Any) -> None:
        for key in list(self.files):
            self._close(key)
