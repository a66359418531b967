"""Variants: axes of cells, each value of which is a name for overrides of the cells' blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.errors import nearest
from harness.spec.merge import override
from harness.spec.places import Document, Path
from harness.spec.sweeps import CELL_BLOCKS, blocks_of, sweeps_in

BLOCKS = tuple(block for block in CELL_BLOCKS if block != "variants")
Variants = Mapping[str, Mapping[str, Mapping[str, Any]]]


def varied(blocks: Mapping[str, Any], variants: Variants) -> dict[str, Any]:
    """``blocks`` of one cell, whose variants have been chosen, with their overrides."""
    document = Document({name: blocks[name] for name in BLOCKS if name in blocks})
    for axis, name in blocks.get("variants", {}).items():
        for path, value in variants[axis][name].items():
            document = override(document, path, value, Document({}), ())
    plain: dict[str, Any] = document.data
    return plain


def variant_documents(document: Document) -> Iterator[tuple[Path, Document]]:
    """The spec under each variant, one at a time, with where it stands. Raises SpecError."""
    for axis, values in (document.data.get("variants") or {}).items():
        for name, overrides in values.items():
            place: Path = ("variants", axis, name)
            changed = document
            for path, value in overrides.items():
                changed = override(changed, path, value, document, (*place, path))
            if overrides:
                yield place, changed


def wrong_variants(document: Document) -> Iterator[tuple[Path, str]]:
    """Where a variant changes what is not of a cell, or the axes."""
    axes = _axes(document.data)
    for axis, values in (document.data.get("variants") or {}).items():
        if not values:
            yield ("variants", axis), "no variant; one or more are needed"
        for name, overrides in values.items():
            for path, value in overrides.items():
                place: Path = ("variants", axis, name, path)
                block = path.partition(".")[0]
                if block not in BLOCKS:
                    hint = nearest(block, BLOCKS)
                    what = f"{block!r} is the same in all cells{hint} (blocks: {', '.join(BLOCKS)})"
                    yield place, what
                elif next(sweeps_in(value), None) is not None:
                    yield place, "a variant has one value; sweep it outside, or name two variants"
    for (_, axis, name), changed in variant_documents(document):
        if gone := axes - _axes(changed.data):
            words = ", ".join(sorted(".".join(map(str, path)) for path in gone))
            what = f"it takes the axis {words} away; every cell has all axes"
            yield ("variants", axis, name), what


def _axes(data: Mapping[str, Any]) -> set[Path]:
    return {path for path, _ in sweeps_in(blocks_of(data))}
