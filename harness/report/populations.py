"""What was measured of many models together: with how many, beside an oracle, and which gaps are
larger than what the draw of the models explains."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from statistics import fmean

from harness.report.asked import claims_of
from harness.report.numbers import NOTHING, plain_number, with_interval
from harness.report.order import as_key
from harness.report.results import MethodFacts, MetricFacts, Results, ScoreRow
from harness.report.spread import Statistics
from harness.report.tables import Table, for_terminal, headed
from harness.spec.claims import OrderClaim

LOW, HIGH = "_low", "_high"
REJECTED = "rejected"


def is_oracle(results: Results, label: str) -> bool:
    """Whether a method trains again on the retain set alone: no other can be better by much."""
    return tuple(results.methods.get(label, MethodFacts()).sees) == ("retain",)


def of_population(results: Results, metric: str) -> bool:
    """Whether ``metric`` is measured of many models together."""
    return results.metrics.get(metric, MetricFacts()).over == "population"


def interval_of(row: ScoreRow, metric: str) -> Statistics | None:
    """The value with the ends of its interval over models, where the metric gives any."""
    value, models = row.metrics.get(metric), row.models.get("unlearned", 0)
    low, high = (row.metrics.get(metric + end) for end in (LOW, HIGH))
    if value is None:
        return None
    return Statistics(
        value, None, models, *((low, high) if None not in (low, high) else (None,) * 2)
    )


def score_of(results: Results, metric: str, label: str) -> Statistics | None:
    """That of a method's chosen candidate; over several cells or base models, the mean alone."""
    rows = [row for row in results.scores if row.selected and row.method == label]
    found = [one for row in rows if (one := interval_of(row, metric)) is not None]
    if len(found) < 2:
        return found[0] if found else None
    return Statistics(fmean(one.mean for one in found if one.mean), None, len(found), None, None)


def scores_table(results: Results) -> Table:
    """One row for each population, with the number of its models; the interval of a metric stands
    behind its value."""
    axes = results.order.axes
    names = list(dict.fromkeys(name for row in results.scores for name in row.metrics))
    names = [name for name in names if not _is_end(name, names)]
    rows = []
    for row in _chosen(results):
        models = ", ".join(f"{count} {name}" for name, count in row.models.items())
        seeds = f"data {row.seeds['data']}, base model {row.seeds['model']}"
        cell = [str(row.cell.get(axis, NOTHING)) for axis in axes]
        values = [_shown(row, name, names) for name in names]
        rows.append([*cell, _called(results, row.method), seeds, models, *values])
    return [*axes, "method", "seeds", "models", *(headed(results, name) for name in names)], rows


def _is_end(name: str, names: Sequence[str]) -> bool:
    return any(name.endswith(end) and name.removesuffix(end) in names for end in (LOW, HIGH))


def _shown(row: ScoreRow, name: str, names: Sequence[str]) -> str:
    if row.diverged:
        return "diverged"
    if row.rejected and name + HIGH in row.metrics:
        return REJECTED
    return with_interval(interval_of(row, name))


def _called(results: Results, label: str) -> str:
    return f"{label} (oracle)" if is_oracle(results, label) else label


def _chosen(results: Results) -> list[ScoreRow]:
    return [row for row in results.scores if row.selected]


def ranked(results: Results) -> Iterator[tuple[str, list[ScoreRow]]]:
    """Every metric with an interval, with the rows of each cell and base model that have it, the
    best first and without those that are rejected."""
    names = [name for name in results.metrics if name + HIGH in results.metrics]
    for name in names:
        sign = -1 if results.metrics[name].better == "higher" else 1
        rows = [row for row in _chosen(results) if not row.rejected]
        there = [row for row in rows if row.metrics.get(name) is not None]
        for _, group in groupby(there, key=lambda row: as_key([row.cell, row.seeds])):
            yield name, sorted(group, key=lambda row: sign * (row.metrics[name] or 0.0))


def _gap(metric: str, one: ScoreRow, other: ScoreRow) -> tuple[float, float]:
    """The distance of two rows, and how far it can be for models that are drawn otherwise: both
    half intervals, added as if they were independent. The retrained models are the same on both
    sides, which can only make it smaller."""
    ours, its = (interval_of(row, metric) for row in (one, other))
    values = [0.0 if found is None else found.mean or 0.0 for found in (ours, its)]
    around = [
        math.inf if found is None or found.high is None else found.high - (found.mean or 0.0)
        for found in (ours, its)
    ]
    return abs(values[0] - values[1]), math.hypot(*around)


def rank_table(results: Results, metric: str, rows: Sequence[ScoreRow]) -> Table:
    """The methods of one cell from the best to the worst, with their gaps."""
    oracle = next((row for row in rows if is_oracle(results, row.method)), None)
    whole = oracle.metrics.get(metric) if oracle else None
    others = [row for row in rows if row is not oracle]
    lines = []
    for position, row in enumerate(rows):
        value = row.metrics.get(metric) or 0.0
        share = NOTHING if not whole else f"{value / whole:.2f}"
        behind = row in others and row is not others[0]
        gaps = [
            _said(metric, others[0], row) if behind else NOTHING,
            _said(metric, row, rows[position + 1]) if position + 1 < len(rows) else NOTHING,
        ]
        models = str(row.models.get("unlearned", NOTHING))
        shown = with_interval(interval_of(row, metric))
        lines.append([_called(results, row.method), models, shown, share, *gaps])
    headers = ["method", "N", headed(results, metric), "of the oracle", "behind the best"]
    return [*headers, "ahead of the next"], lines


def _said(metric: str, one: ScoreRow, other: ScoreRow) -> str:
    gap, around = _gap(metric, one, other)
    return f"{plain_number(gap)} ± {plain_number(around)}: {'real' if gap > around else 'open'}"


def gaps_text(results: Results, metric: str, rows: Sequence[ScoreRow]) -> str:
    """Which gaps exceed their interval, in words."""
    models = sorted({row.models.get("unlearned", 0) for row in rows})
    parts = [f"{metric} of N = {', '.join(map(str, models))} models on a side."]
    others = [row for row in rows if not is_oracle(results, row.method)]
    if len(others) < len(rows):
        [oracle, *_] = [row for row in rows if row not in others]
        value = with_interval(interval_of(oracle, metric))
        parts.append(f"Retraining, held against other retrained models, gets {value}, not 1.")
    if others:
        best, rest = others[0], others[1:]
        parts.append(f"The best method is {best.method}.")
        for word, real in (("exceeds", True), ("does not exceed", False)):
            found = [
                row.method
                for row in rest
                if (_gap(metric, best, row)[0] > _gap(metric, best, row)[1]) is real
            ]
            if found:
                parts.append(f"Its gap to {', '.join(found)} {word} the 95 % interval of the gap.")
    by_label = {row.method: row for row in rows}
    claims = [c for c in claims_of(results.spec) if isinstance(c, OrderClaim)]
    asked = {pair: None for c in claims if c.metric == metric for pair in pairwise(c.methods)}
    for one, other in (pair for pair in asked if {*pair} <= by_label.keys()):
        ours, its = (by_label[label].metrics.get(metric) or 0.0 for label in (one, other))
        gap, around = _gap(metric, by_label[one], by_label[other])
        verb = "and exceeds" if gap > around else "within"
        parts.append(
            f"{one} minus {other}, which a claim is about, is {plain_number(ours - its)}, {verb} "
            f"its interval of ± {plain_number(around)}."
        )
    return " ".join(parts)


def rejected_text(results: Results) -> str:
    """Which methods do not count, and why."""
    found = {row.method: row.rejected for row in _chosen(results) if row.rejected}
    said = "; ".join(f"{method}: {why}" for method, why in found.items())
    return f"Rejected, so that their score is 0: {said}." if found else ""


def closing_ranks(results: Results, width: int) -> Iterator[str]:
    """For the end of a run, on a terminal of ``width`` columns."""
    for metric, rows in ranked(results):
        headers, lines = rank_table(results, metric, rows)
        yield for_terminal(headers[:4], [line[:4] for line in lines])
        yield textwrap.fill(gaps_text(results, metric, rows), width)
    if rejected := rejected_text(results):
        yield textwrap.fill(rejected, width)
