"""Builds a content-addressed graph of stages; it knows no kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.plan.kinds import kinds
from harness.plan.stage import Cell, Stage, address, text
from harness.spec.blocks import Use


class Graph:
    """Stages by key, in an order in which inputs come before what reads them."""

    def __init__(self) -> None:
        self.stages: dict[str, Stage] = {}

    def add(
        self,
        kind: str,
        cell: Cell,
        inputs: Mapping[str, str],
        uses: tuple[Use, ...] = (),
        **detail: Any,
    ) -> str:
        """The key of the stage that does this; two stages with one key are one stage.

        The key hashes the kind and its revision, what the kind says of cell, components and detail,
        and the keys of the inputs. Random numbers depend on the same without revisions, so that a
        mended method meets the same batches as before.
        """
        declared = kinds()[kind]
        parts = declared.hashes(cell, uses, detail)
        key = address(kind, str(declared.revision), *map(text, parts), *inputs.values())
        if key not in self.stages:
            same = (text(part, revisions=False) for part in declared.draws(cell, uses, detail))
            read = (self.stages[source].draws for source in inputs.values())
            draws = address("draws", kind, *same, *read)
            self.stages[key] = Stage(kind, key, draws, uses, tuple(inputs.items()), cell, detail)
        return key
