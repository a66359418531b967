"""Which points of the protocol have no result, so that nobody takes a part for the whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.report.order import as_key
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
