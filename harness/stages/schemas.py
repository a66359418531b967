"""Pieces of the JSON Schemas of records, from which each kind says what its own looks like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

COUNT: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number"}
TEXT: Schema = {"type": "string", "maxLength": 200}
KEY: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def fields(**properties: Schema) -> Schema:
    """An object with at least these fields."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def mapping(items: Schema) -> Schema:
    """An object whose values all look alike."""
    return {"type": "object", "additionalProperties": items}


def listing(items: Schema) -> Schema:
    """A list whose items all look alike."""
    return {"type": "array", "items": items}


METER = fields(forward=COUNT, backward=COUNT, steps=COUNT)
DATA = fields(
    name=TEXT, digest=TEXT, classes=COUNT, shape=listing(COUNT),
    train=COUNT, validation=COUNT, test=COUNT,
)  # fmt: skip
