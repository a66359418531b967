"""Plain data of a spec as a tree in which components of lists go by their names, as in paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.spec.merge import entry_name, positions

Names = tuple[str, ...]


class Entries(dict[str, Any]):
    """A list of components by the names that paths call them."""


def named(value: Any) -> Any:
    """``value`` with every list of components as ``Entries``."""
    if is_block(value):
        return {key: named(inner) for key, inner in value.items()}
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        first = positions(value)
        names = (
            name if name and "." not in name and first[name] == i else str(i)
            for i, name in enumerate(map(entry_name, value))
        )
        return Entries(zip(names, map(named, value), strict=True))
    return value


def is_block(node: Any) -> bool:
    """Whether ``node`` holds further values; a sweep and a list of plain values are one value."""
    return isinstance(node, Mapping) and bool(node) and "sweep" not in node


def values_in(node: Any, path: Names = ()) -> Iterator[tuple[Names, Any]]:
    """Every value below ``node`` with its path."""
    if is_block(node):
        for key, inner in node.items():
            yield from values_in(inner, (*path, key))
    else:
        yield path, node
