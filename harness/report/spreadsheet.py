"""Every row with all its values as CSV, for spreadsheets and scripts."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any


def csv_text(results: Mapping[str, Any]) -> str:
    """One line for each cell, seed, method and candidate, chosen or not. Nothing is rounded."""
    axes, metrics = results["order"]["axes"], results["order"]["metrics"]
    swept = list(dict.fromkeys(name for row in results["rows"] for name in row["candidate"]))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*axes, "seed", "method", *map(_column, swept), "selected", *metrics])
    for row in results["rows"]:
        before = [row["cell"].get(axis, "") for axis in axes]
        settings = [row["candidate"].get(name, "") for name in swept]
        after = [row["metrics"].get(metric, "") for metric in metrics]
        writer.writerow([*before, row["seed"], row["method"], *settings, row["selected"], *after])
    return stream.getvalue().rstrip("\n")


def _column(setting: str) -> str:
    return f"candidate.{setting}"
