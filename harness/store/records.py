"""What a record from elsewhere must be before anything reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft7Validator

_COUNT = {"type": "integer", "minimum": 0}
_NUMBER = {"type": "number"}
_TEXT = {"type": "string", "maxLength": 200}
_KEY = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _all(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": items}


def _list(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_METER = _object(forward=_COUNT, backward=_COUNT, steps=_COUNT)
_COMMON = {"seconds": _all({"type": "number", "minimum": 0}), "device": _TEXT, "threads": _COUNT}
_BY_KIND: dict[str, dict[str, Any]] = {
    "corrupt": {
        "corrupted": _COUNT,
        "data": _object(
            name=_TEXT, digest=_TEXT, classes=_COUNT, shape=_list(_COUNT),
            train=_COUNT, validation=_COUNT, test=_COUNT,
        ),
    },
    "train": {"meter": _METER, "fit": _object(steps=_COUNT, losses=_list(_NUMBER))},
    "prepare": {"meter": _METER, "prepared": _list(_KEY)},
    "unlearn": {
        "meter": _METER, "prepared": _list(_KEY), "series": _all(_list(_NUMBER)),
        "facts": _all(_NUMBER),
    },
}  # fmt: skip


def wrong_with(kind: str, content: Any) -> str | None:
    """What is wrong with the unsealed record of a ``kind`` artifact, or None."""
    stage = _object(kind={"const": kind}, uses=_list(_TEXT))
    tensors = {"anyOf": [{"type": "null"}, _object(sha256=_KEY, bytes=_COUNT)]}
    schema = _object(record=_object(stage=stage, **_COMMON, **_BY_KIND[kind]), tensors=tensors)
    error = next(iter(Draft7Validator(schema).iter_errors(content)), None)
    if error is None:
        return None
    place = ".".join(map(str, error.absolute_path)) or "the record"
    return f"{place}: {error.message[:200]}"
