"""Values of one metric by repetition, and differences between methods, paired by it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from math import sqrt
from statistics import fmean

from harness.components.contracts import ends
from harness.report.order import as_key
from harness.report.record import Seed
from harness.report.results import EMPTY, MetricFacts, ResultRow, Results, ScoreRow, Values
from harness.report.spread import Bounds, Statistics, statistics
from harness.report.weights import Weigh, weighted_mean, weights_of

Found = Mapping[Seed, Mapping[str, float]]  # by repetition and cell


def paired(
    results: Results, metric: str, method: str, against: str, at: Values = EMPTY
) -> Statistics:
    """``method`` minus ``against`` in ``metric``, in its unit, with the interval of the mean.

    Both are taken at the same seed and in the same cells, those that fit ``at``; the difference is
    averaged over cells, and each seed counts once. What seeds share, such as a base model that came
    out well, cancels. Metrics over a population are repeated over data and base model seeds.
    """
    mine, other = (values(results, metric, label, at) for label in (method, against))
    found = differences(mine, other, weights_of(results))
    return statistics([*found.values()], apart(bounds_of(results, metric)))


def values(
    results: Results,
    metric: str,
    method: str,
    at: Values = EMPTY,
    name: Callable[[Values], str] = as_key,
) -> Found:
    """The chosen values of ``method`` in the cells that fit ``at``, which ``name`` calls."""
    found: dict[Seed, dict[str, float]] = {}
    for seed, row in chosen(results, metric, method, at):
        if (value := row.metrics.get(metric)) is not None:
            found.setdefault(seed, {})[name(row.cell)] = value
    return found


def chosen(
    results: Results, metric: str, method: str, at: Values
) -> Iterator[tuple[Seed, ResultRow | ScoreRow]]:
    """The rows that should measure ``metric``, with their repetition."""
    for row in _rows(results, metric):
        seed = (
            row.seed if isinstance(row, ResultRow) else f"{row.seeds['data']}/{row.seeds['model']}"
        )
        if row.selected and row.method == method and fits(at, row.cell, seed):
            yield seed, row


def _rows(results: Results, metric: str) -> Sequence[ResultRow | ScoreRow]:
    population = results.metrics.get(metric, MetricFacts()).over == "population"
    return results.scores if population else results.rows


def fits(at: Values, cell: Values, seed: Seed) -> bool:
    """Whether a value of this cell and seed is one of those at ``at``."""
    facts = {**cell, "seed": seed}
    return all(axis in facts and facts[axis] == value for axis, value in at.items())


def means(found: Found, weigh: Weigh) -> dict[Seed, float]:
    """The mean over cells by seed. Cells of one seed share their base model: taken as independent
    they would narrow the interval."""
    return {seed: weighted_mean(cells, weigh) for seed, cells in found.items()}


def differences(mine: Found, other: Found, weigh: Weigh) -> dict[Seed, float]:
    """The mean difference over the cells that both have, by the seeds that both have."""
    return means(
        {
            seed: {cell: cells[cell] - other[seed][cell] for cell in cells if cell in other[seed]}
            for seed, cells in mine.items()
            if cells.keys() & other.get(seed, {}).keys()
        },
        weigh,
    )


def joined(several: Iterable[Mapping[Seed, float]]) -> tuple[dict[Seed, float], list[Seed]]:
    """The mean over several specs by the seeds that all have, and the seeds that not all have."""
    parts = list(several)
    every = dict.fromkeys(seed for part in parts for seed in part)
    shared = [seed for seed in every if all(seed in part for part in parts)]
    left_out = [seed for seed in every if seed not in shared]
    return {seed: fmean([part[seed] for part in parts]) for seed in shared}, left_out


def kendall(x: Sequence[float], y: Sequence[float]) -> float:
    """Kendall's tau-b: the pairs in the same order minus those in opposite orders, over the
    geometric mean of how many are no ties in ``x`` and in ``y``. 0 where one of the two is the same
    everywhere, and so orders nothing."""
    pairs = list(combinations(zip(x, y, strict=True), 2))
    signs = [((a > c) - (a < c), (b > d) - (b < d)) for (a, b), (c, d) in pairs]
    untied = sum(abs(s) for s, _ in signs) * sum(abs(t) for _, t in signs)
    return sum(s * t for s, t in signs) / sqrt(untied) if untied else 0.0


def bounds_of(results: Results, metric: str) -> Bounds:
    """The smallest and largest value of ``metric``, as far as it is known."""
    return ends(results.metrics.get(metric, MetricFacts()).range)


def apart(bounds: Bounds) -> Bounds:
    """The bounds of differences of what lies within ``bounds``."""
    return bounds[0] - bounds[1], bounds[1] - bounds[0]
