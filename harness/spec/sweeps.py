"""Sweeps in plain data: where they stand, and the points that they span."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from math import prod
from typing import Any

from harness.spec.blocks import Spec
from harness.spec.places import Path
from harness.spec.structure import unstructure_settings

CELL_BLOCKS = ("data", "corruption", "model", "train", "forget", "unlearning", "variants")
Assignment = dict[Path, Any]


def sweeps_in(data: Any, path: Path = ()) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Every ``{sweep: [...]}`` in ``data`` with its path, in the order of the data."""
    if isinstance(data, Mapping):
        if "sweep" in data:
            yield path, data
            return
        for key, value in data.items():
            yield from sweeps_in(value, (*path, key))
    elif isinstance(data, list | tuple):
        for position, value in enumerate(data):
            yield from sweeps_in(value, (*path, position))


def points_of(data: Any) -> int:
    """How many points the sweeps in ``data`` span, without going through them."""
    return prod(min(len(values) for _, values in group) for group in _groups(data).values())


def _groups(data: Any) -> dict[Any, list[tuple[Path, tuple[Any, ...]]]]:
    groups: dict[Any, list[tuple[Path, tuple[Any, ...]]]] = {}
    for path, sweep in sweeps_in(data):
        groups.setdefault(sweep.get("zip") or path, []).append((path, tuple(sweep["sweep"])))
    return groups


def assignments(data: Any) -> Iterator[Assignment]:
    """Every point of the sweeps in ``data``: the product, zipped groups advancing together."""
    dimensions = [
        [
            dict(zip((p for p, _ in group), point, strict=True))
            for point in zip(*(v for _, v in group), strict=False)
        ]
        for group in _groups(data).values()
    ]
    for combination in product(*dimensions):
        yield {path: value for part in combination for path, value in part.items()}


def substitute(data: Any, assignment: Assignment, path: Path = ()) -> Any:
    """``data`` with every sweep replaced by its value in ``assignment``."""
    if path in assignment:
        return assignment[path]
    if isinstance(data, Mapping):
        return {k: substitute(v, assignment, (*path, k)) for k, v in data.items()}
    if isinstance(data, list | tuple):
        return [substitute(v, assignment, (*path, i)) for i, v in enumerate(data)]
    return data


def cell_blocks(spec: Spec) -> dict[str, Any]:
    """The plain data of the blocks whose sweeps are the axes of cells."""
    given = {block: getattr(spec, block) for block in CELL_BLOCKS}
    plain = {name: unstructure_settings(block) for name, block in given.items() if block}
    return blocks_of(plain)


def blocks_of(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Those blocks of a resolved spec; of the variants only their names, as sweeps."""
    blocks = {name: plain[name] for name in CELL_BLOCKS if plain.get(name)}
    if named := blocks.pop("variants", None):
        blocks["variants"] = {axis: {"sweep": list(values)} for axis, values in named.items()}
    return blocks


def axis_names(spec: Spec) -> dict[str, Path]:
    """The axes of a spec: the last part of a path where that is unique, else the whole path."""
    return named(path for path, _ in sweeps_in(cell_blocks(spec)))


def named(found: Iterable[Path]) -> dict[str, Path]:
    """The paths of sweeps by the names of their axes."""
    paths = list(found)
    last = [str(path[-1]) for path in paths]
    return {
        (name if last.count(name) == 1 else ".".join(map(str, path))): path
        for name, path in zip(last, paths, strict=True)
    }


def plain_value(value: Any) -> str:
    """The text of a swept value, as a key of a mapping names it: 1 and 1.0 are the same."""
    return str(value).removesuffix(".0")
