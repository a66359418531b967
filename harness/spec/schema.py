"""The JSON Schema (draft-07) of the spec language, generated from the blocks and components.

``specs/schema/v1.json`` is its committed form, which editors complete specs from. One branch
stands for each installed component; a scalar of data, train or a component also takes a sweep.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import attrs

from harness.components import Component, NoSettings, load, remembered
from harness.spec.blocks import Data, MethodUse, Select, Spec, Train, Unlearning
from harness.spec.paper import ClaimsFile
from harness.spec.structure import name_key, spelled

Schema = dict[str, Any]

_BOUNDS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}
_FACTORY: type = type(attrs.Factory(list))
_NULL: Schema = {"type": "null"}
_KINDS = (
    "datasets", "augmentations", "corruptions", "models", "optimizers", "schedules",
    "adversaries", "forget_sets", "methods", "metrics",
)  # fmt: skip
_REFERENCE = "#/definitions/"
# And the settings of components: no other block makes cells or candidates.
_SWEPT = (Data, Train, Unlearning)

# What a spec may say of a method beside the method's own settings.
_METHOD_FIELDS: Mapping[str, Schema] = {
    "label": {
        "type": "string",
        "pattern": r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$",
        "description": "name in tables and claims; the method's name when left out",
    },
    "select": {
        "anyOf": [{"$ref": _REFERENCE + "Select"}, _NULL],
        "description": "how the candidates of a sweep are reduced to one in each cell",
    },
    "keep": {
        "enum": [True, False, "yes", "no"],
        "description": "keep the unlearned weights of every candidate, not only the chosen one",
    },
    "max_cost": {
        "anyOf": [{"type": "number", "exclusiveMinimum": 0}, _NULL],
        "description": "largest allowed cost as a share of the base training",
    },
}


@remembered()
def schema() -> Schema:
    """The whole schema, for all components that are installed."""
    definitions: dict[str, Schema] = {"Select": _block(Select)}
    for kind in _KINDS:
        definitions[kind] = _choice(kind)
    root = _block(Spec)
    extending, *_ = _parts(root)
    extending["properties"]["extends"] = {
        "type": "string",
        "description": "another spec in the same folder tree that this one is merged over",
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "harness spec, language version 1",
        "type": "object",
        "if": {"required": ["extends"]},
        "then": extending,
        "else": root,
        "definitions": definitions,
    }


def _changed(field: Schema) -> Schema:
    """What an extending spec may say where a whole one says ``field``: a part of it, ``null`` to
    take it away, or what is appended to a list."""
    choices = [part for branch in field.get("anyOf", [field]) for part in _parts(branch)]
    nothing = [] if _NULL in choices else [_NULL]
    return {"description": field.get("description", ""), "anyOf": [*choices, *nothing]}


def _parts(branch: Schema) -> Iterator[Schema]:
    plain = {key: value for key, value in branch.items() if key != "description"}
    if branch.get("type") != "object":
        yield plain
    elif "properties" in branch:
        fields = {name: _changed(inner) for name, inner in branch["properties"].items()}
        yield {"type": "object", "additionalProperties": False, "properties": fields}
    else:
        yield {"type": "object"}
    if branch.get("type") == "array":
        more = {"description": "what is added to the list that is extended", **plain}
        yield {**_block(NoSettings), "required": ["append"], "properties": {"append": more}}
    for part in (branch, *branch.get("allOf", ())):
        if "$ref" in part:  # settings of the component that is named there
            key = name_key(part["$ref"].removeprefix(_REFERENCE))
            yield {"type": "object", "not": {"required": [key]}}


@cache
def claims_schema() -> Schema:
    """The schema of a claims file."""
    return _block(ClaimsFile)


def schema_text() -> str:
    """The bytes of ``specs/schema/v1.json``."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def _choice(kind: str) -> Schema:
    components = load(kind)
    key = name_key(kind)
    bare = [name for name, c in components.items() if not required_settings(c.settings)]
    plain = {"enum": bare, "description": "a component whose settings all have defaults"}
    return {"anyOf": [plain, *(_branch(c, key) for c in components.values())]}


def _branch(component: Component[Any], key: str) -> Schema:
    branch = _block(component.settings)
    own = {key: {"const": component.name, "description": component.summary}}
    extra = _METHOD_FIELDS if component.kind == "methods" else {}
    branch["properties"] = {**own, **branch["properties"], **extra}
    branch["required"] = [key, *branch.get("required", ())]
    branch["description"] = f"{component.summary} Source: {component.source}"
    return branch


def required_settings(cls: type) -> list[str]:
    """The fields of a settings class or block that have no default."""
    return [spelled(f) for f in attrs.fields(cls) if f.default is attrs.NOTHING]


def _block(cls: type) -> Schema:
    hints = _hints(cls)
    required = required_settings(cls)
    swept = cls in _SWEPT or not cls.__module__.startswith("harness.spec.")
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {spelled(f): _field(f, hints[f.name], swept) for f in attrs.fields(cls)},
        **({"required": required} if required else {}),
    }


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _field(field: attrs.Attribute[Any], hint: Any, swept: bool) -> Schema:
    metadata = field.metadata
    described = _use(field) if "use" in metadata else _of_type(hint, metadata, swept)
    text = metadata.get("doc", "")
    text += f" [{metadata['unit']}]" if metadata.get("unit") else ""
    if field.default is not attrs.NOTHING and not isinstance(field.default, _FACTORY):
        default = _plain_default(field.default)
        described = {**described, **({"default": default} if default is not None else {})}
    return {"description": text, **described}


def _plain_default(default: Any) -> Any:
    if attrs.has(type(default)):
        return None
    return list(default) if isinstance(default, tuple) else default


def _use(field: attrs.Attribute[Any]) -> Schema:
    reference: Schema = {"$ref": _REFERENCE + field.metadata["use"]}
    if field.metadata["many"]:
        return {"type": "array", "items": reference}
    if field.default is None:
        return {"anyOf": [reference, _NULL]}
    return {"allOf": [reference]}


def _of_type(hint: Any, metadata: Mapping[str, Any], swept: bool) -> Schema:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        kinds = [_of_type(a, metadata, swept) for a in args if a is not NoneType]
        flat = [branch for kind in kinds for branch in kind.get("anyOf", [kind])]
        return {"anyOf": [*flat, _NULL] if NoneType in args else flat}
    if origin is tuple:
        if len(args) == 2 and args[1] is Ellipsis:
            return {"type": "array", "items": _item(args[0], metadata)}
        items = [_item(a, metadata) for a in args]
        return {"type": "array", "items": items, "minItems": len(args), "maxItems": len(args)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        inner = {} if args[1] is Any else _of_type(args[1], metadata, swept)
        return {"type": "object", **({"additionalProperties": inner} if inner else {})}
    if isinstance(hint, type) and attrs.has(hint) and hint is not MethodUse:
        return _block(hint)
    scalar = _scalar(hint, metadata)
    return _sweepable(scalar) if swept else scalar


def _item(hint: Any, metadata: Mapping[str, Any]) -> Schema:
    if hint is Any:
        return {}
    if hint is MethodUse:
        return {"$ref": _REFERENCE + "methods"}
    if get_origin(hint) is UnionType or (isinstance(hint, type) and attrs.has(hint)):
        return _of_type(hint, metadata, swept=False)
    return _scalar(hint, metadata)


def _scalar(hint: Any, metadata: Mapping[str, Any]) -> Schema:
    if get_origin(hint) is Literal:
        words = list(get_args(hint))
        return {"const": words[0]} if len(words) == 1 else {"enum": words}
    bounds = {_BOUNDS[name]: bound for name, bound in metadata.get("bounds", {}).items()}
    if hint is bool:
        return {"enum": [True, False, "yes", "no"]}
    if hint is int:
        return {"type": "integer", **bounds}
    if hint is float:
        return {"type": "number", **bounds}
    if hint is str:
        pattern = metadata.get("pattern")
        return {"type": "string", **({"pattern": pattern} if pattern else {})}
    raise TypeError(f"a setting cannot have the type {hint!r}")


def _sweepable(scalar: Schema) -> Schema:
    sweep = {
        "type": "object",
        "description": "several values; sweeps of one zip group advance together",
        "required": ["sweep"],
        "additionalProperties": False,
        "properties": {
            "sweep": {"type": "array", "minItems": 1, "items": scalar},
            "zip": {"type": "string", "description": "group of sweeps that advance together"},
        },
    }
    return {"anyOf": [scalar, sweep]}
