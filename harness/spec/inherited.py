"""What a spec leaves out of the one that it extends: what is over methods that it took away."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from harness.spec.places import Path


def _list(data: Mapping[str, Any], key: str) -> list[Any]:
    found = data.get(key)
    return found if isinstance(found, list) else []


def over_absent(data: Mapping[str, Any], absent: Collection[str]) -> Iterator[Path]:
    """The paths of what is over ``absent`` methods; of a figure with others, their labels alone."""
    for part in ("claims", "figures"):
        for i, entry in enumerate(_list(data, part)):
            yield from ((part, i, *path) for path in _naming(entry, absent, part == "figures"))
    profiles = data.get("profiles")
    for name, values in profiles.items() if isinstance(profiles, dict) else ():
        if not isinstance(values, dict) or "methods" in values:  # it has methods of its own
            continue
        for path in values:
            block, _, inside = path.partition(".")
            listed = block in ("claims", "figures") and inside  # whose positions have moved
            if listed or (block == "methods" and inside.partition(".")[0] in absent):
                yield "profiles", name, path
        yield from (("profiles", name, *path) for path in over_absent(values, absent))


def _naming(entry: Any, absent: Collection[str], narrow: bool) -> Iterator[Path]:
    """The labels in ``entry`` that are ``absent``, where others are left; else all of it."""
    if not isinstance(entry, dict):
        return
    labels = _list(entry, "methods")
    gone = [("methods", i) for i, label in enumerate(labels) if label in absent]
    if any(entry.get(key) in absent for key in ("method", "against")):
        yield ()
    elif gone:
        yield from gone if narrow and len(gone) < len(labels) else [()]
