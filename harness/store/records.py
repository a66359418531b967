"""What a record from elsewhere must be before anything reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft7Validator

Schema = Mapping[str, Any]

COUNT: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number"}
TEXT: Schema = {"type": "string", "maxLength": 200}
KEY: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def block(**properties: Schema) -> dict[str, Any]:
    """The schema of an object that has at least these properties, those aside that are optional."""
    required = [name for name, schema in properties.items() if "default" not in schema]
    return {"type": "object", "properties": properties, "required": required}


def optional(schema: Schema) -> dict[str, Any]:
    """``schema`` of something that records of older versions lack."""
    return {**schema, "default": None}


def every(items: Schema) -> dict[str, Any]:
    """The schema of an object whose values are all ``items``, whatever their names."""
    return {"type": "object", "additionalProperties": items}


def listed(items: Schema) -> dict[str, Any]:
    """The schema of a list of ``items``."""
    return {"type": "array", "items": items}


_COMMON = {"seconds": every({"type": "number", "minimum": 0}), "device": TEXT, "threads": COUNT}


def wrong_with(kind: str, content: Any, own: Mapping[str, Schema]) -> str | None:
    """What is wrong with the unsealed record of a ``kind`` artifact, or None.

    ``own`` has the schema of each fact that only records of this kind have.
    """
    stage = block(
        kind={"const": kind}, uses=listed(TEXT), revisions=listed(COUNT), inputs=every(KEY)
    )
    tensors = {"anyOf": [{"type": "null"}, block(sha256=KEY, bytes=COUNT)]}
    schema = block(record=block(stage=stage, **_COMMON, **own), tensors=tensors)
    error = next(iter(Draft7Validator(schema).iter_errors(content)), None)
    if error is None:
        return None
    place = ".".join(map(str, error.absolute_path)) or "the record"
    return f"{place}: {error.message[:200]}"
