"""Declarative, spec-driven evaluation of machine unlearning and data poisoning.

    import harness

    results = harness.run("specs/quickstart.yaml")
    model = harness.load_model(results, method="ssd", seed=0, cell={"discovered": 0.5})

Importing the package imports nothing else; each name below brings what it needs when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import Experiment, load, load_checkpoint, load_model, read_results
    from harness.commands.run import run

__version__ = "0.1.0"
__all__ = ["Experiment", "load", "load_checkpoint", "load_model", "read_results", "run"]

_HOMES = dict.fromkeys(__all__, "harness.api") | {"run": "harness.commands.run"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
