"""What a record from elsewhere must be before anything reads it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

Schema = Mapping[str, Any]

COUNT: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number"}
NUMBERS: Schema = {"type": "numbers"}  # a list of them: a word of ours, because lists are long
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


_COMMON = {
    "stage": block(uses=listed(TEXT), revisions=listed(COUNT), inputs=every(KEY)),
    "seconds": every({"type": "number", "minimum": 0}),
    "device": TEXT,
    "threads": COUNT,
}


_NOT_IN_ALL = {
    "diverged": TEXT,
    "undefined": every(TEXT),
    "replicas": COUNT,  # models that one pass trained, this one included
    "resources": every({"type": "number", "minimum": 0}),
}


def _are_numbers(checker: Any, found: Any) -> bool:
    return isinstance(found, list) and {type(each) for each in found} <= {int, float}


@cache
def _checker() -> Any:
    from jsonschema import validators

    from harness.patterns import Checker

    types = Checker.TYPE_CHECKER.redefine("numbers", _are_numbers)
    return validators.extend(Checker, type_checker=types)


def wrong_with(content: Any, own: Mapping[str, Schema] | None) -> str | None:
    """What is wrong with an unsealed record, or None.

    ``own`` has the schema of each fact that only records of this kind have; None when nothing is
    known of the kind.
    """
    record: dict[str, Any] = {"type": "object"}
    if own is not None:
        record = block(**_COMMON, **own)
        record["properties"] = {**record["properties"], **_NOT_IN_ALL}
    tensors = {"anyOf": [{"type": "null"}, block(sha256=KEY, bytes=COUNT)]}
    error = next(iter(_checker()(block(record=record, tensors=tensors)).iter_errors(content)), None)
    if error is None:
        return None
    place = ".".join(map(str, error.absolute_path)) or "the record"
    return f"{place}: {error.message[:200]}"
