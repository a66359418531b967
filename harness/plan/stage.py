"""Stages, their content addresses, and the graph that they form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from attrs import field, frozen

from harness.components import get
from harness.spec.blocks import Data, Train, Use
from harness.spec.structure import unstructure_settings

KINDS = ("corrupt", "train", "prepare", "unlearn", "evaluate")

# Raised when the numbers of code that no component owns change: splits and seeding, the training
# loop, and how a trained model is measured.
REVISIONS: Mapping[str, int] = dict.fromkeys(KINDS, 1)


@frozen(eq=False)
class Cell:
    """What all stages of one cell and seed share, sweeps resolved."""

    seed: int
    data: Data
    corruption: Use
    model: Use
    train: Train
    forget: Use
    point: Mapping[str, Any]


@frozen(eq=False, slots=True)
class Stage:
    """One unit of work.

    ``key`` addresses it; ``uses`` is the component (several metrics for ``evaluate``, nothing for
    ``train``); ``inputs`` maps a role (``corrupt``, ``base``, ``unlearned``, ``reference``, or
    ``prepare:<name>:<subset>``) to the key of another stage.
    """

    kind: str
    key: str
    uses: tuple[Use, ...]
    inputs: tuple[tuple[str, str], ...]
    cell: Cell
    subset: str = ""
    max_cost: float | None = field(default=None)

    @property
    def name(self) -> str:
        """What progress and errors call the stage."""
        what = ", ".join(use.name for use in self.uses) if self.kind != "evaluate" else ""
        return f"{self.kind} {what}".strip() + f" [{self.key[:8]}]"


def digest(*parts: str) -> str:
    """SHA-256 over ``parts``, as 64 hex digits."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def canonical(value: Any) -> str:
    """JSON with sorted keys: equal text for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


@lru_cache(maxsize=65536)
def identity(block: Any) -> str:
    """The canonical text of a resolved block or ``Use``, component revisions included."""
    return canonical(_identified(block))


def _identified(value: Any) -> Any:
    if isinstance(value, Use):
        component = get(value.kind, value.name)
        settings = {
            name: _identified(getattr(value.settings, name))
            for name in unstructure_settings(value.settings)
        }
        return [value.kind, value.name, component.revision, settings]
    if isinstance(value, tuple):
        return [_identified(item) for item in value]
    if hasattr(value, "__attrs_attrs__"):
        return {a.name: _identified(getattr(value, a.name)) for a in value.__attrs_attrs__}
    # 1 and 1.0 are one number to a spec and must be one to a key.
    return int(value) if isinstance(value, float) and value.is_integer() else value
