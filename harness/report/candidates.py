"""What each candidate of a swept method scored, chosen or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.report.order import canonical
from harness.report.spread import statistics


def candidates(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Cell, method, candidate, in how many seeds it was chosen, and statistics over seeds."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in results["rows"]:
        if row["candidate"]:
            name = canonical([row["cell"], row["method"], row["candidate"]])
            groups.setdefault(name, []).append(row)
    return [_entry(rows, results["order"]["metrics"]) for rows in groups.values()]


def _entry(rows: list[Mapping[str, Any]], metrics: list[str]) -> dict[str, Any]:
    values = {m: [v for r in rows if (v := r["metrics"].get(m)) is not None] for m in metrics}
    return {
        **{name: rows[0][name] for name in ("cell", "method", "candidate")},
        "seeds": len(rows),
        "selected": sum(row["selected"] for row in rows),
        "metrics": {name: statistics(found) for name, found in values.items()},
    }
