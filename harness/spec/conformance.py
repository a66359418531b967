"""Checks data against the schema and says what is wrong in the user's words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from math import inf
from typing import Any

import yaml

from harness.components import load, remembered
from harness.components.catalogue import left_out
from harness.errors import nearest, short
from harness.patterns import Checker
from harness.spec.places import Document, Path, Problem
from harness.spec.reader import no_space, scalar
from harness.spec.schema import claims_schema, required_settings, schema
from harness.spec.structure import name_key

_TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "a string",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
    "boolean": "true or false",
}
_BOUNDS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
}


# A jsonschema ValidationError; its fields depend on the failed keyword.
Error = Any


@remembered()
def _validator(claims: bool) -> Any:
    return Checker(claims_schema() if claims else schema())


def departures(document: Document, claims: bool = False) -> Iterator[Problem]:
    """Every way in which ``document`` departs from the schema of specs, or of ``claims`` files."""
    for error in _validator(claims).iter_errors(document.data):
        yield from _explain(error, document)


def _explain(error: Error, document: Document) -> Iterator[Problem]:
    path: Path = tuple(error.absolute_path)
    match error.validator:
        case "anyOf":
            yield from _explain_choice(error, document)
        case "additionalProperties":
            yield from _unknown_keys(error, path, document)
        case "required":
            yield from _missing(error, path, document)
        case _:
            yield document.problem(path, _message(error))


def _unknown_keys(error: Error, path: Path, document: Document) -> Iterator[Problem]:
    allowed = sorted(error.schema["properties"])
    for key in sorted(set(error.instance) - set(allowed)):
        if key == "<<":
            what = "'<<' merges in old YAML only; write the values out, or use 'extends'"
        else:
            hint = f"; {space}" if (space := no_space(key)) else nearest(key, allowed)
            what = f"unknown key {short(repr(key))}{hint} (allowed: {', '.join(allowed)})"
        yield document.problem((*path, key), what, at_key=True)


def _missing(error: Error, path: Path, document: Document) -> Iterator[Problem]:
    for key in error.validator_value:
        if key not in error.instance:
            doc = error.schema["properties"].get(key, {}).get("description", "")
            what = f"the required key {key!r} is missing" + (f" ({doc})" if doc else "")
            yield document.problem(path, what)


def _message(error: Error) -> str:
    found = _shown(error.instance)
    value = error.validator_value
    match error.validator:
        case "type":
            return f"found {found}; {_TYPES[value]} is needed{_mend(error)}"
        case "enum" | "const":
            words = [value] if error.validator == "const" else value
            texts = [str(w) for w in words if isinstance(w, str)]
            hint = nearest(str(error.instance), texts)
            return f"found {found}{hint} (allowed: {', '.join(map(_shown, words))})"
        case "pattern":
            return f"found {found}; it must match {value}{_mend(error)}"
        case "minItems":
            return "an empty list; at least one value is needed" if value == 1 else error.message
        case bound if bound in _BOUNDS:
            return f"found {found}; {_BOUNDS[bound]} {value} is allowed"
    return str(error.message)


def _mend(error: Error) -> str:
    """What to write instead, where one of the usual slips explains the value."""
    found = error.instance
    if isinstance(found, str) and (space := no_space(found)):
        return f"; {space}"
    fits = _validator(False).evolve(schema=error.schema).is_valid
    meant = next((value for value in _meant(found) if fits(value)), None)
    if meant is None:
        return ""
    if str(meant) == str(found):
        return "; put it into quotes" if isinstance(meant, str) else "; remove the quotes"
    written = yaml.safe_dump(meant, default_flow_style=True, width=inf).removesuffix("...\n")
    return f"; write {short(written.strip())}"


def _meant(found: Any) -> Iterator[Any]:
    if isinstance(found, list):
        yield {"sweep": found}
    if isinstance(found, list | dict | None):
        return
    text = str(found)
    yield scalar(text) if isinstance(found, str) else text
    if percent := re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*%", text):
        yield round(float(percent[1]) / 100, 12)
    yield re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    yield from (f"{text}.0", f"{text}.0.0", [found])


def _shown(value: Any) -> str:
    return short(json.dumps(value, ensure_ascii=False, default=str))


def _explain_choice(error: Error, document: Document) -> Iterator[Problem]:
    """Explain a value that fits no branch by the branch that it was meant for."""
    kind = _kind_of(error)
    instance, path = error.instance, tuple(error.absolute_path)
    if kind:
        unknown = _unknown_component(kind, instance)
        if unknown:
            key = name_key(kind)
            where = (*path, key) if isinstance(instance, dict) and key in instance else path
            yield document.problem(where, unknown)
            return
    meant = _meant_branch(error)
    if meant is None and isinstance(instance, dict) and (kinds := _kinds_of_claim(error)):
        found = instance["claim"]
        what = f"found {_shown(found)}{nearest(str(found), kinds)} (allowed: {', '.join(kinds)})"
        yield document.problem((*path, "claim"), what)
        return
    if meant is None:
        allowed = " or ".join(dict.fromkeys(_accepts(branch) for branch in error.validator_value))
        what = f"found {_shown(instance)}; {allowed} is needed{_mend(error)}"
        yield document.problem(path, what)
        return
    for cause in error.context or ():
        if cause.relative_schema_path[0] == meant:
            yield from _explain(cause, document)


def _kind_of(error: Error) -> str | None:
    for kind, choice in schema()["definitions"].items():
        if error.schema is choice and "anyOf" in choice:
            return str(kind)
    return None


def _unknown_component(kind: str, instance: Any) -> str | None:
    known = load(kind)
    key = name_key(kind)
    name = instance.get(key) if isinstance(instance, dict) else instance
    if isinstance(name, str) and name in known:
        if isinstance(instance, str):
            missing = ", ".join(required_settings(known[name].settings))
            return f"{name!r} needs settings: {missing}; write {{{key}: {name}, ...}}"
        return None
    allowed = f"(installed: {', '.join(known)}){left_out(kind)}"
    if isinstance(name, str):
        return f"unknown component {short(repr(name))}{nearest(name, known)} {allowed}"
    if isinstance(instance, dict) and key not in instance:
        return f"the required key {key!r} is missing {allowed}"
    return f"found {_shown(name)}; the name of a component is needed {allowed}"


def _meant_branch(error: Error) -> int | None:
    """The branch whose type or component name fits the value, when there is exactly one."""
    fits = [i for i, branch in enumerate(error.validator_value) if _fits(branch, error.instance)]
    return fits[0] if len(fits) == 1 else None


def _kinds_of_claim(error: Error) -> list[str]:
    """The kinds of claims, where the branches are those."""
    branches = (branch.get("properties", {}) for branch in error.validator_value)
    return [word for fields in branches if "claim" in fields for word in _words(fields["claim"])]


def _words(field: Any) -> list[Any]:
    return [field["const"]] if "const" in field else field["enum"]


def _fits(branch: Any, instance: Any) -> bool:
    if isinstance(instance, dict):
        fields = branch.get("properties", {})
        telling = {key: s for key, s in fields.items() if "const" in s or key == "claim"}
        named = all(instance.get(k, s.get("default")) in _words(s) for k, s in telling.items())
        return (branch.get("type") == "object" and named) or "$ref" in branch
    kind = branch.get("type")
    if "enum" in branch or "$ref" in branch:
        return isinstance(instance, str)
    if isinstance(instance, bool):
        return kind == "boolean"
    fitting = {int: ("integer", "number"), float: ("number",), str: ("string",), list: ("array",)}
    return kind in fitting.get(type(instance), ())


def _accepts(branch: Any) -> str:
    if "enum" in branch:
        return "one of " + ", ".join(map(_shown, branch["enum"]))
    if "sweep" in branch.get("properties", {}):
        return "a sweep"
    return _TYPES.get(branch.get("type", ""), "a mapping")
