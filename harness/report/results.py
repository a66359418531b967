"""``results.json``: every number with its seeds and spread, and where it comes from."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.report.claims import judge
from harness.report.coverage import missing
from harness.report.order import canonical, in_order, order_of
from harness.report.spread import statistics

FORMAT = 1
Results = dict[str, Any]

__all__ = ["Results", "assemble", "read_results", "statistics", "summarise", "to_json"]


def assemble(
    rows: Iterable[Mapping[str, Any]], context: Mapping[str, Any], provenance: Mapping[str, Any]
) -> Results:
    """The whole of ``results.json``.

    Args:
        rows: one for each candidate, cell and seed: ``cell``, ``seed``, ``method``, ``candidate``,
            ``selected``, ``metrics``, ``keys``. Their order does not matter.
        context: the resolved ``spec``, the ``profile``, and facts on ``metrics``, ``methods``,
            ``components``, ``data``, ``stages`` and what ``failed``. ``changes``, where there is
            one, lists what the command line changed in the spec.
        provenance: times, machine and versions. All else is the same in every run of the spec.
    """
    every: list[Mapping[str, Any]] = [_finite(row) for row in rows]
    order = context.get("order")  # there when a stored file is read: its rows are in order
    if order is None:
        order = order_of(context, every)
        every = in_order(every, context["spec"], order)
    results: Results = {**context, "format": FORMAT, "order": order, "rows": every}
    results["summary"] = summarise(every, order)
    results["missing"] = missing(results)
    results["claims"] = [judge(claim, results) for claim in context["spec"]["claims"]]
    results["provenance"] = provenance
    plain: Results = _plain(results)
    return plain


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """``row`` with None for a metric that is not a finite number, which ``notes`` then names."""
    notes = dict(row.get("notes", {}))
    metrics = {}
    for name, value in row["metrics"].items():
        lost = value is None or not math.isfinite(value)
        metrics[name] = None if lost else value
        if lost:
            notes.setdefault(name, "missing" if value is None else str(float(value)))
    return {**row, "metrics": metrics, **({"notes": notes} if notes else {})}


def _plain(value: Any) -> Any:
    """``value`` in JSON's types, mappings sorted; a number that is not finite becomes its name."""
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(_plain(item) for item in value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return str(value)


def summarise(rows: Iterable[Mapping[str, Any]], order: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The chosen candidates of each cell and method over seeds, in the order of the spec."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["selected"]:
            groups.setdefault((canonical(row["cell"]), row["method"]), []).append(row)
    return [
        _summary(groups[name, method])
        for name in map(canonical, order["cells"])
        for method in order["methods"]
        if (name, method) in groups
    ]


def _summary(rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    names = dict.fromkeys(name for row in rows for name in row["metrics"])
    values = {
        name: [v for row in rows if (v := row["metrics"].get(name)) is not None] for name in names
    }
    return {
        "cell": rows[0]["cell"],
        "method": rows[0]["method"],
        "seeds": [row["seed"] for row in rows],
        "metrics": {name: statistics(found) for name, found in values.items()},
    }


def to_json(results: Results) -> str:
    """The text of ``results.json``: equal for equal results."""
    text = json.dumps(results, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return text + "\n"


def read_results(folder: Path) -> Results:
    """The results in ``folder``; what follows from their rows is derived again.

    Raises:
        UsageError: there are none, or they are not of this format.
    """
    file = folder / "results.json" if folder.is_dir() else folder
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
    except OSError as problem:
        raise UsageError(f"no results in {file}: {problem.strerror}") from None
    except ValueError as problem:
        raise UsageError(f"{file} is not JSON: {problem}") from None
    if not isinstance(results, dict) or results.get("format") != FORMAT:
        raise UsageError(f"{file} is not a results file of format {FORMAT}")
    try:
        return assemble(results["rows"], results, results["provenance"])
    except (KeyError, TypeError, AttributeError) as problem:  # edited by hand, or by nobody
        raise UsageError(f"{file} is not a whole results file: {problem!r}") from None
