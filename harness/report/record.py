"""Frozen classes to and from the JSON of ``results.json``, through cattrs, without any loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache, partial
from operator import eq
from typing import Any, TypeVar

import attrs
from attrs import field, frozen
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, override

_KEY, _SPARSE = "key", "sparse"
T = TypeVar("T")
Seed = int | str  # the label of a repetition: 0, or 0/0/3 for data, model and unlearning


@frozen
class Record:
    """A part of the results. ``absent`` are the keys that its file, of an older version, lacks:
    they have their defaults here and are not written."""

    absent: frozenset[str] = field(default=frozenset(), kw_only=True, eq=False, repr=False)


def entry(default: Any = attrs.NOTHING, *, key: str | None = None, sparse: bool = False) -> Any:
    """A field that is called ``key`` in the file; a ``sparse`` one stands there unless empty."""
    return field(default=default, metadata={_KEY: key, _SPARSE: sparse})


def from_plain(cls: type[T], data: Any) -> T:
    """``data`` of JSON as ``cls``. Raises what cattrs raises, with the place of the problem."""
    return _converter().structure(data, cls)


def to_plain(value: Any) -> Any:
    """``value`` in JSON's types, as ``results.json`` holds it: equal for equal values."""
    return _plain(_converter().unstructure(value))


def _plain(value: Any) -> Any:
    """``value`` in JSON's types, mappings sorted; a number that is not finite becomes its name."""
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(_plain(item) for item in value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return str(value)


@cache
def _converter() -> Converter:
    converter = Converter()
    for kind, allowed in ((str, str), (bool, bool), (int, int), (float, int | float)):
        converter.register_structure_hook(kind, _exactly(allowed, kind is bool))
    converter.register_structure_hook_func(partial(eq, Seed), _exactly(Seed, boolean=False))
    converter.register_structure_hook_factory(attrs.has, _structuring(converter))
    converter.register_unstructure_hook_factory(attrs.has, _unstructuring(converter))
    return converter


def _exactly(allowed: Any, boolean: bool) -> Callable[[Any, Any], Any]:
    """Values pass as they are, so that 1 does not become 1.0 or "1"."""

    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, allowed) or isinstance(value, bool) is not boolean:
            raise TypeError(f"{value!r:.60} is of another type")
        return value

    return hook


def _keys(cls: Any) -> list[tuple[attrs.Attribute[Any], str]]:
    """The fields of ``cls`` that a file holds, with what they are called there."""
    fields = (f for f in attrs.fields(cls) if f.name != "absent")
    return [(f, f.metadata.get(_KEY) or f.name) for f in fields]


def _structuring(converter: Converter) -> Callable[[Any], Callable[[Any, Any], Any]]:
    def factory(cls: Any) -> Callable[[Any, Any], Any]:
        keys = _keys(cls)
        renamed: dict[str, Any] = {f.name: override(rename=key) for f, key in keys}
        tracked = {key for f, key in keys if f.default is not attrs.NOTHING}
        if issubclass(cls, Record):
            renamed["absent"] = override(omit=True)
        build = make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=True, **renamed)

        def hook(data: Any, kind: Any) -> Any:
            if not isinstance(data, Mapping):
                raise TypeError(f"{data!r:.60} is no mapping")
            absent = tracked - data.keys()
            found = build(data, kind)
            return attrs.evolve(found, absent=frozenset(absent)) if absent else found

        return hook

    return factory


def _unstructuring(converter: Converter) -> Callable[[Any], Callable[[Any], dict[str, Any]]]:
    def factory(cls: Any) -> Callable[[Any], dict[str, Any]]:
        keys = _keys(cls)

        def hook(value: Any) -> dict[str, Any]:
            absent = getattr(value, "absent", ())
            found = {}
            for f, key in keys:
                inner = getattr(value, f.name)
                left_out = f.metadata.get(_SPARSE) or key in absent
                if not (left_out and inner == f.default):
                    found[key] = converter.unstructure(inner)
            return found

        return hook

    return factory
