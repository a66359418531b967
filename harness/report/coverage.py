"""Which points of the protocol have no result, so that nobody takes a part for the whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from harness.report.order import as_key, axis_paths
from harness.report.record import Seed
from harness.report.repetitions import labels
from harness.report.results import Gap, Results, Values
from harness.spec.structure import structure_seeds
from harness.spec.variants import repetitions_in

Point = tuple[Values, str, Seed]


def points(results: Results) -> Iterator[Point]:
    """Every cell, method and seed that the spec asks for."""
    for cell in results.order.cells:
        for method in results.spec["methods"]:
            for seed in seeds_of(results, cell):
                yield cell, method["label"], seed


def seeds_of(results: Results, cell: Values) -> tuple[Seed, ...]:
    """The repetitions of one cell, which its variants may limit."""
    spec = results.spec
    variants = spec.get("variants")
    if not variants:
        return labels(spec)
    paths = axis_paths(spec).items()
    chosen = {str(path[1]): cell[axis] for axis, path in paths if path[0] == "variants"}
    kept = repetitions_in(structure_seeds(spec["seeds"]), variants, chosen)
    return tuple(seeds.label for seeds in kept)


def rows_asked(results: Results, group: Callable[[Values], Any]) -> Counter[Any]:
    """How many rows of one method and candidate the spec asks for, by ``group`` of cells."""
    return Counter(group(cell) for cell in results.order.cells for _ in seeds_of(results, cell))


def gaps(results: Results) -> tuple[Gap, ...]:
    """The points without a chosen result, those of one cell and method together."""
    found = {(as_key(row.cell), row.method, row.seed) for row in results.rows if row.selected}
    absent: dict[tuple[str, str], tuple[Values, list[Seed]]] = {}
    for cell, method, seed in points(results):
        key = as_key(cell)
        if (key, method, seed) not in found:
            absent.setdefault((key, method), (cell, []))[1].append(seed)
    return tuple(Gap(cell, method, tuple(seeds)) for (_, method), (cell, seeds) in absent.items())


def in_words(method: str, cell: Values, seeds: Sequence[Seed]) -> str:
    """``ssd at discovered=0.5, seeds 0, 1``."""
    at = ", ".join(f"{axis}={value}" for axis, value in cell.items())
    word = "seed" if len(seeds) == 1 else "seeds"
    return f"{method}{f' at {at}' if at else ''}, {word} {', '.join(map(str, seeds))}"


def gaps_in_words(several: Iterable[Gap]) -> list[str]:
    """Each gap as a reader reads it."""
    return [in_words(gap.method, gap.cell, gap.seeds) for gap in several]


def beside_budget(results: Results) -> str:
    """Which methods are one computation that stands in the rows of every budget, in a sentence."""
    paths = axis_paths(results.spec).items()
    axis = next((name for name, path in paths if path[0] == "unlearning"), None)
    stages: dict[str, dict[str, set[str]]] = {}
    for row in results.rows if axis else ():
        cell = {name: value for name, value in row.cell.items() if name != axis}
        point = as_key([cell, row.seed, row.candidate])
        found = stages.setdefault(row.method, {}).setdefault(point, set())
        found.add(row.keys.get("unlearn", ""))
    same = [
        method
        for method in results.order.methods
        if method in stages and all(len(keys) == 1 for keys in stages[method].values())
    ]
    return f"Not set by the {axis}, the same at each: {', '.join(same)}." if same else ""
