"""Variants: axes of cells, each value of which is a name for overrides of the cells' blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from harness.errors import nearest
from harness.spec.merge import override
from harness.spec.places import Document, Path
from harness.spec.seeds import SeedChoice, Seeds, repetitions
from harness.spec.structure import structure_seeds, unstructure_settings
from harness.spec.sweeps import CELL_BLOCKS, blocks_of, sweeps_in

BLOCKS = tuple(block for block in CELL_BLOCKS if block != "variants")
ALLOWED = (*BLOCKS, "seeds")
Variants = Mapping[str, Mapping[str, Mapping[str, Any]]]


def varied(blocks: Mapping[str, Any], variants: Variants) -> dict[str, Any]:
    """``blocks`` of one cell, whose variants have been chosen, with their overrides."""
    document = Document({name: blocks[name] for name in BLOCKS if name in blocks})
    for axis, name in blocks.get("variants", {}).items():
        for path, value in variants[axis][name].items():
            if _block(path) != "seeds":
                document = override(document, path, value, Document({}), ())
    plain: dict[str, Any] = document.data
    return plain


def repetitions_in(seeds: SeedChoice, variants: Variants, chosen: Mapping[str, str]) -> list[Seeds]:
    """The repetitions of a cell whose variants are ``chosen``, by axis: those of the spec that all
    of these have."""
    kept = list(repetitions(seeds))
    for axis, name in chosen.items():
        if (own := seeds_in(variants[axis][name], seeds)) is not None:
            here = {each.numbers for each in repetitions(own)}
            kept = [each for each in kept if each.numbers in here]
    return kept


def seeds_in(variant: Mapping[str, Any], seeds: SeedChoice) -> SeedChoice | None:
    """What ``variant`` makes of the ``seeds`` of the spec; None where it says nothing of them.
    Raises SpecError where a path leads nowhere."""
    if not (own := [path for path in variant if _block(path) == "seeds"]):
        return None
    document = Document({"seeds": unstructure_settings(seeds)})
    for path in own:
        document = override(document, path, variant[path], Document({}), ())
    return structure_seeds(document.data["seeds"])


def _block(path: str) -> str:
    return path.partition(".")[0]


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
                block = _block(path)
                if block not in ALLOWED:
                    hint = nearest(block, ALLOWED)
                    known = ", ".join(ALLOWED)
                    yield place, f"{block!r} is the same in all cells{hint} (blocks: {known})"
                elif path == "seeds" and value is None:
                    yield place, "no seed; name those that this variant is repeated with"
                elif next(sweeps_in(value), None) is not None:
                    yield place, "a variant has one value; sweep it outside, or name two variants"
    for (_, axis, name), changed in variant_documents(document):
        if gone := axes - _axes(changed.data):
            words = ", ".join(sorted(".".join(map(str, path)) for path in gone))
            what = f"it takes the axis {words} away; every cell has all axes"
            yield ("variants", axis, name), what


def never_repeated(seeds: SeedChoice, variants: Variants) -> Iterator[tuple[Path, str]]:
    """Where variants of different axes have no seed of the spec in common."""
    limited = {
        axis: [name for name, own in values.items() if seeds_in(own, seeds) is not None]
        for axis, values in variants.items()
    }
    axes = {axis: names for axis, names in limited.items() if names}
    for names in product(*axes.values()):
        chosen = dict(zip(axes, names, strict=True))
        if chosen and not repetitions_in(seeds, variants, chosen):
            *_, (axis, name) = chosen.items()
            where = ", ".join(f"{a}={n}" for a, n in chosen.items())
            yield ("variants", axis, name), f"none of the spec's seeds is left for {where}"


def _axes(data: Mapping[str, Any]) -> set[Path]:
    return {path for path, _ in sweeps_in(blocks_of(data))}
