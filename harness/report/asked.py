"""What the spec of some results asks for, as typed blocks: its paper, claims and figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.spec.blocks import Figure
from harness.spec.claims import Claim
from harness.spec.paper import Paper
from harness.spec.structure import structure_block, structure_claim


def claims_of(spec: Mapping[str, Any]) -> list[Claim]:
    """What the paper states."""
    return [structure_claim(claim) for claim in spec["claims"]]


def figures_of(spec: Mapping[str, Any]) -> list[Figure]:
    """The figures, of which specs of older results have none."""
    return [structure_block(Figure, figure) for figure in spec.get("figures", ())]


def paper_of(spec: Mapping[str, Any]) -> Paper | None:
    """The paper, where the spec is of one."""
    return None if spec["paper"] is None else structure_block(Paper, spec["paper"])
