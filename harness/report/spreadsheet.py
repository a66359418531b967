"""Every row with all its values, for spreadsheets, scripts and pandas."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError
from harness.report.results import Results

if TYPE_CHECKING:
    import pandas


def csv_text(results: Results) -> str:
    """One line for each cell, seed, method and candidate, chosen or not. Nothing is rounded."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([_columns(results), *_lines(results, "")])
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
