"""What was measured of many models together: with how many, beside an oracle, and which gaps are
larger than what the draw of the models explains."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from math import hypot, inf
from statistics import fmean

from harness.report.asked import claims_of
from harness.report.numbers import NOTHING, plain_number, with_interval
from harness.report.order import as_key
from harness.report.results import MethodFacts, MetricFacts, Results, ScoreRow
from harness.report.spread import Statistics
from harness.report.tables import Table, for_terminal, headed
from harness.spec.claims import OrderClaim

ENDS = ("_low", "_high")  # of the interval of a metric, which are metrics of their own
Rows = Sequence[ScoreRow]


def is_oracle(results: Results, label: str) -> bool:
    """Whether a method sees the retain set alone: it trains again, and shows what can be had."""
    return tuple(results.methods.get(label, MethodFacts()).sees) == ("retain",)


def of_population(results: Results, metric: str) -> bool:
    """Whether ``metric`` is measured of many models together."""
    return results.metrics.get(metric, MetricFacts()).over == "population"


def chosen(results: Results, label: str | None = None) -> list[ScoreRow]:
    """The rows of chosen candidates, of one method or of all."""
    return [row for row in results.scores if row.selected and label in (None, row.method)]


def score_of(several: Rows, metric: str) -> Statistics | None:
    """The value of one row, with its interval over models; of several rows their mean alone."""
    rows = [row for row in several if row.metrics.get(metric) is not None]
    if not rows:
        return None
    mean = fmean(row.metrics[metric] or 0.0 for row in rows)
    low, high = (rows[0].metrics.get(metric + end) if len(rows) == 1 else None for end in ENDS)
    return Statistics(mean, None, rows[0].models.get("unlearned", 0), low, high)


def scores_table(results: Results) -> Table:
    """One row for each population, with the number of its models."""
    axes, rows = results.order.axes, chosen(results)
    every = dict.fromkeys(name for row in rows for name in row.metrics)
    names = [n for n in every if not any(n == other + end for other in every for end in ENDS)]
    lines = []
    for row in rows:
        models = ", ".join(
            f"{count} {name.partition('+')[0]}" for name, count in row.models.items()
        )
        seeds = f"data {row.seeds['data']}, base model {row.seeds['model']}"
        cell = [str(row.cell.get(axis, NOTHING)) for axis in axes]
        values = [shown(row, name) for name in names]
        lines.append([*cell, _called(results, row), seeds, models, *values])
    return [*axes, "method", "seeds", "models", *(headed(results, name) for name in names)], lines


def shown(row: ScoreRow, metric: str) -> str:
    """The number with its interval, or why it does not count."""
    lost = "rejected" if row.rejected and metric + ENDS[1] in row.metrics else ""
    return ("diverged" if row.diverged else lost) or with_interval(score_of([row], metric))


def _called(results: Results, row: ScoreRow) -> str:
    return f"{row.method} (oracle)" if is_oracle(results, row.method) else row.method


def ranked(results: Results) -> Iterator[tuple[str, list[ScoreRow]]]:
    """Every metric with an interval, with the rows of each cell and base model that have it, the
    best first and without those that are rejected."""
    for name in (name for name in results.metrics if name + ENDS[1] in results.metrics):
        sign = -1 if results.metrics[name].better == "higher" else 1
        there = [row for row in chosen(results) if row.metrics.get(name) is not None]
        counted = (row for row in there if not row.rejected)
        for _, group in groupby(
            sorted(counted, key=lambda row: as_key([row.cell, row.seeds])),
            key=lambda row: as_key([row.cell, row.seeds]),
        ):
            yield name, sorted(group, key=lambda row: sign * (row.metrics[name] or 0.0))


def _gap(metric: str, one: ScoreRow, other: ScoreRow) -> tuple[float, float]:
    """``one`` minus ``other``, and how far that can be for models that are drawn otherwise: both
    half intervals, added as if they were independent. The retrained models are the same on both
    sides, which can only make it smaller."""
    ours, its = (row.metrics[metric] or 0.0 for row in (one, other))
    ends = [row.metrics.get(metric + ENDS[1]) for row in (one, other)]
    halves = [inf if end is None else end - own for end, own in zip(ends, (ours, its), strict=True)]
    return ours - its, hypot(*halves)


def _exceeds(metric: str, one: ScoreRow, other: ScoreRow) -> bool:
    gap, around = _gap(metric, one, other)
    return abs(gap) > around


def rank_table(results: Results, metric: str, rows: Rows) -> Table:
    """The methods of one cell from the best to the worst, with their distance to the best."""
    oracles = [row for row in rows if is_oracle(results, row.method)]
    whole = oracles[0].metrics[metric] if oracles else None
    best = next((row for row in rows if row not in oracles), None)
    lines = []
    for row in rows:
        share = f"{(row.metrics[metric] or 0.0) / whole:.2f}" if whole else NOTHING
        behind = NOTHING
        if best is not None and row is not best and row not in oracles:
            gap, around = _gap(metric, best, row)
            said = "exceeds it" if _exceeds(metric, best, row) else "within it"
            behind = f"{plain_number(gap)}, interval ± {plain_number(around)}: {said}"
        models = str(row.models.get("unlearned", NOTHING))
        lines.append([_called(results, row), models, shown(row, metric), share, behind])
    return ["method", "N", headed(results, metric), "of the oracle", "behind the best"], lines


def gaps_text(results: Results, metric: str, rows: Rows) -> str:
    """With how many models, what an oracle gets, and which gaps exceed their interval."""
    models = sorted({row.models.get("unlearned", 0) for row in rows})
    parts = [f"{metric} with N = {', '.join(map(str, models))} models on a side."]
    others = [row for row in rows if not is_oracle(results, row.method)]
    for oracle in (row for row in rows if row not in others):
        found = shown(oracle, metric)
        parts.append(f"{oracle.method}, held against other retrained models, gets {found}, not 1.")
    if others:
        parts.append(f"The best method is {others[0].method}.")
    for word, real in (("exceeds", True), ("does not exceed", False)):
        found = ", ".join(r.method for r in others[1:] if _exceeds(metric, others[0], r) is real)
        if found:
            parts.append(f"Its gap to {found} {word} the 95 % interval of the gap.")
    by_label = {row.method: row for row in rows}
    claims = (c for c in claims_of(results.spec) if isinstance(c, OrderClaim))
    pairs = dict.fromkeys(p for c in claims if c.metric == metric for p in pairwise(c.methods))
    for one, other in (pair for pair in pairs if {*pair} <= by_label.keys()):
        gap, around = map(plain_number, _gap(metric, by_label[one], by_label[other]))
        word = "exceeds" if _exceeds(metric, by_label[one], by_label[other]) else "is within"
        parts.append(f"Of a claim: {one} minus {other} is {gap} and {word} its ± {around}.")
    return " ".join(parts)


def rejected_text(results: Results) -> str:
    """Which methods do not count, and why."""
    found = {row.method: row.rejected for row in chosen(results) if row.rejected}
    said = "; ".join(f"{method}: {why}" for method, why in found.items())
    return f"Rejected, so that their score is 0: {said}." if found else ""


def closing_ranks(results: Results, width: int) -> Iterator[str]:
    """For the end of a run, on a terminal of ``width`` columns."""
    for metric, rows in ranked(results):
        headers, lines = rank_table(results, metric, rows)
        yield for_terminal(headers[:-1], [line[:-1] for line in lines])
        yield textwrap.fill(gaps_text(results, metric, rows), width)
    if rejected := rejected_text(results):
        yield textwrap.fill(rejected, width)
