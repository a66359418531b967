"""Which points of the protocol have no result, so that nobody takes a part for the whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.report.order import as_key, axis_paths
from harness.report.record import Seed
from harness.report.repetitions import labels
from harness.report.results import Gap, Results, Values

Point = tuple[Values, str, Seed]


def points(results: Results) -> Iterator[Point]:
    """Every cell, method and seed that the spec asks for."""
    for cell in results.order.cells:
        for method in results.spec["methods"]:
            for seed in labels(results.spec):
                yield cell, method["label"], seed


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
