"""Every row with all its values, for spreadsheets, scripts and pandas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError
from harness.report.per_method import per_method
from harness.report.results import Results

if TYPE_CHECKING:
    import pandas


def csv_text(results: Results) -> str:
    """One line for each cell, seed, method and candidate, chosen or not. Nothing is rounded."""
    return _csv([_columns(results), *_lines(results, "")])


def grouped_csv(results: Results, by: str) -> str:
    """One line for each metric of a method, or ``by`` cell of a method in a cell: mean, spread and
    interval over seeds. Nothing is rounded."""
    if by == "cell":
        axes = results.order.axes
        groups = [
            ([*(s.cell.get(axis, "") for axis in axes), s.method], s.metrics)
            for s in results.summaries
        ]
    else:
        axes = ()
        groups = [([mean.method], mean.metrics) for mean in per_method(results)]
    columns = ["mean", "std", "low", "high", "n"]
    lines = [
        [*names, metric, *(getattr(metrics[metric], column) for column in columns)]
        for names, metrics in groups
        for metric in results.order.metrics
        if metric in metrics and metrics[metric].n
    ]
    return _csv([[*axes, "method", "metric", *columns], *lines])


def _csv(lines: Iterable[Sequence[Any]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(lines)
    return stream.getvalue().rstrip("\n")


def frame(results: Results) -> pandas.DataFrame:
    """The same for pandas, with None where a row has no such value.

    Raises:
        HarnessError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise HarnessError("to_pandas needs pandas: pip install pandas") from None
    return pandas.DataFrame(_lines(results, None), columns=_columns(results))


def _columns(results: Results) -> list[str]:
    swept = [f"candidate.{name}" for name in _swept(results)]
    lost = ["diverged"] if _any_diverged(results) else []
    axes, metrics = results.order.axes, results.order.metrics
    return [*axes, "seed", "method", *swept, "selected", *lost, *metrics]


def _lines(results: Results, nothing: Any) -> list[list[Any]]:
    axes, metrics, swept = results.order.axes, results.order.metrics, _swept(results)
    return [
        [
            *(row.cell.get(axis, nothing) for axis in axes),
            row.seed,
            row.method,
            *(row.candidate.get(name, nothing) for name in swept),
            row.selected,
            *([row.diverged or nothing] if _any_diverged(results) else []),
            *(row.metrics.get(metric, nothing) for metric in metrics),
        ]
        for row in results.rows
    ]


def _any_diverged(results: Results) -> bool:
    return any(row.diverged for row in results.rows)


def _swept(results: Results) -> list[str]:
    return list(dict.fromkeys(name for row in results.rows for name in row.candidate))
