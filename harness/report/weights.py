"""What a cell counts in means over cells: the same as others, or as much as the spec declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from statistics import fmean

from harness.report.order import as_key
from harness.report.results import Results, Values
from harness.spec.sweeps import plain_value

Weigh = Callable[[str], float]  # of a cell, by its text (``as_key``)


def weights_of(results: Results) -> Weigh:
    """The weights of the cells of ``results``; what the spec says nothing of counts as 1."""
    declared = _declared(results)
    known = {as_key(cell): _weight(cell, declared) for cell in results.order.cells}
    return lambda cell: known.get(cell, 1.0)


def _declared(results: Results) -> dict[str, dict[str, float]]:
    """By axis and value, in the order of the spec."""
    found = {}
    for axis, by_value in (results.spec.get("weights") or {}).items():
        named = {plain_value(value): weight for value, weight in by_value.items()}
        values = dict.fromkeys(plain_value(cell.get(axis)) for cell in results.order.cells)
        found[axis] = {value: named[value] for value in values if value in named}
    return found


def _weight(cell: Values, declared: Mapping[str, Mapping[str, float]]) -> float:
    return prod(of.get(plain_value(cell.get(axis)), 1.0) for axis, of in declared.items())


def weighted_mean(by_cell: Mapping[str, float], weigh: Weigh) -> float:
    """The mean of a value for each cell."""
    return fmean(by_cell.values(), map(weigh, by_cell))


def weights_text(results: Results) -> str:
    """How cells are weighted, for a caption."""
    said = [
        f"{axis} {', '.join(f'{value}: {weight:g}' for value, weight in of.items())}"
        for axis, of in _declared(results).items()
    ]
    return f"weighted by {' and '.join(said)}" if said else "each with the same weight"
