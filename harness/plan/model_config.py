"""``config.json``: what a published model is, so that it can be built without its spec."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from harness.errors import HarnessError, IntegrityError
from harness.plan.stage import Stage
from harness.spec.blocks import Data, Use
from harness.spec.fit import architecture, facts_of
from harness.spec.structure import structure_block, structure_use, unstructure_settings

TASKS = {"images": "image-classification", "tokens": "text-classification"}


def config(stage: Stage, name: str, cell: Mapping[str, Any]) -> str:
    """The file of a ``stage`` that leaves a model."""
    model, facts = architecture(stage.cell.model), facts_of(stage.cell.data)
    found = {
        "model": {"name": model.name, **unstructure_settings(model.settings)},
        "classes": facts.classes,
        "preprocessing": {"encoding": facts.encoding.name, **attrs.asdict(facts.encoding)},
        "data": unstructure_settings(stage.cell.data),
        "method": name,
        "cell": dict(cell),
        "seed": stage.cell.seed,
    }
    return json.dumps(found, indent=1) + "\n"


def described(file: Path, place: str) -> tuple[Data, Use]:
    """Data and model of a ``config.json`` that may be a stranger's.

    Raises:
        IntegrityError: it does not describe a model, or one of a component that is not here.
    """
    try:
        plain = json.loads(file.read_bytes())
        data = structure_block(Data, plain["data"])
        return data, structure_use("models", plain["model"])
    except HarnessError as problem:
        what = str(problem)[:200]
        raise IntegrityError(f"{place} asks for what is not installed: {what}") from None
    except Exception as problem:  # cattrs raises groups of whatever went wrong
        raise IntegrityError(f"{place} describes no model ({type(problem).__name__})") from None
