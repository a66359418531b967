"""The cells of a spec: the points that its sweeps and variants span."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.plan.stage import Cell
from harness.spec.blocks import Data, Spec, Train, Unlearning
from harness.spec.structure import structure_block, structure_use
from harness.spec.sweeps import assignments, axis_names, cell_blocks, substitute
from harness.spec.variants import repetitions_in, varied


def cells_of(spec: Spec) -> Iterator[Cell]:
    """Every cell of ``spec``, once for each of its repetitions."""
    blocks = cell_blocks(spec)
    axes = axis_names(spec)
    variants = spec.variants or {}
    for point in assignments(blocks):
        values = {name: point[path] for name, path in axes.items()}
        plain = substitute(blocks, point)
        resolved = _structured(varied(plain, variants))
        for seeds in repetitions_in(spec.seeds, variants, plain.get("variants", {})):
            yield Cell(seeds=seeds, point=values, **resolved)


def _structured(blocks: Mapping[str, Any]) -> dict[str, Any]:
    unlearning = blocks.get("unlearning")
    return {
        "data": structure_block(Data, blocks["data"]),
        "corruption": structure_use("corruptions", blocks["corruption"]),
        "model": structure_use("models", blocks["model"]),
        "train": structure_block(Train, blocks["train"]),
        "forget": structure_use("forget_sets", blocks["forget"]),
        "unlearning": unlearning and structure_block(Unlearning, unlearning),
    }
