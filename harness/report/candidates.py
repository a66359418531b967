"""What each candidate of a swept method scored, chosen or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.report.order import canonical
from harness.report.spread import statistics

MOST = 400


def candidates(results: Mapping[str, Any], by_cell: bool = True) -> list[dict[str, Any]]:
    """Cell, method, candidate, how often it was chosen, and statistics over seeds.

    Without ``by_cell`` the cells are taken together, and ``cell`` is empty.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in results["rows"]:
        if row["candidate"]:
            cell = row["cell"] if by_cell else {}
            name = canonical([cell, row["method"], row["candidate"]])
            groups.setdefault(name, []).append(row)
    entries = [_entry(rows, results["order"]["metrics"]) for rows in groups.values()]
    return entries if by_cell else [{**entry, "cell": {}} for entry in entries]


def too_many(results: Mapping[str, Any]) -> bool:
    """Whether the candidates of every cell are too many to read."""
    return len(candidates(results)) > MOST


def _entry(rows: list[Mapping[str, Any]], metrics: list[str]) -> dict[str, Any]:
    values = {m: [v for r in rows if (v := r["metrics"].get(m)) is not None] for m in metrics}
    return {
        **{name: rows[0][name] for name in ("cell", "method", "candidate")},
        "seeds": len(rows),
        "selected": sum(row["selected"] for row in rows),
        "metrics": {name: statistics(found) for name, found in values.items()},
    }
