"""``results.json``: every number with its seeds and spread, and where it comes from."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from harness.errors import UsageError
from harness.report.claims import judge

FORMAT = 1
Results = dict[str, Any]


def assemble(
    rows: Iterable[Mapping[str, Any]], context: Mapping[str, Any], provenance: Mapping[str, Any]
) -> Results:
    """The whole of ``results.json``.

    Args:
        rows: one for each candidate, cell and seed: ``cell``, ``seed``, ``method``, ``candidate``,
            ``selected``, ``metrics``, ``keys``.
        context: the resolved ``spec``, the ``profile``, and facts on ``metrics``, ``methods``,
            ``components``, ``data``, ``stages`` and what ``failed``.
        provenance: times, machine and versions. All else is the same in every run of the spec.
    """
    every = [_finite(row) for row in rows]
    results: Results = {
        "format": FORMAT,
        **context,
        "rows": every,
        "summary": summarise(every),
        "provenance": dict(provenance),
    }
    results["claims"] = [judge(claim, results) for claim in context["spec"]["claims"]]
    return results


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """``row`` with None for a metric that is not a finite number: JSON has no other word."""
    metrics = {k: v if math.isfinite(v) else None for k, v in row["metrics"].items()}
    return {**row, "metrics": metrics}


def summarise(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The chosen candidates of each cell and method over seeds, in the order of the rows."""
    cells: dict[str, dict[str, Any]] = {}
    for row in rows:
        if not row["selected"]:
            continue
        name = json.dumps([row["cell"], row["method"]], sort_keys=True)
        entry = cells.setdefault(
            name, {"cell": row["cell"], "method": row["method"], "seeds": [], "values": {}}
        )
        entry["seeds"].append(row["seed"])
        for metric, value in row["metrics"].items():
            if value is not None:
                entry["values"].setdefault(metric, []).append(value)
    return [
        {
            "cell": entry["cell"],
            "method": entry["method"],
            "seeds": entry["seeds"],
            "metrics": {m: statistics(values) for m, values in entry["values"].items()},
        }
        for entry in cells.values()
    ]


def statistics(values: list[float]) -> dict[str, float | int | None]:
    """Mean, sample standard deviation, n, and the 95 % Student interval of the mean.

    With one value there is no spread: ``std``, ``low`` and ``high`` are None.
    """
    mean, n = fmean(values), len(values)
    if n == 1:
        return {"mean": mean, "std": None, "n": 1, "low": None, "high": None}
    spread = stdev(values)
    half = _student(n - 1) * spread / math.sqrt(n)
    return {"mean": mean, "std": spread, "n": n, "low": mean - half, "high": mean + half}


@cache
def _student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t distribution."""
    from scipy.special import stdtrit  # scipy.stats takes ten times as long to import

    return float(stdtrit(freedom, 0.975))


def to_json(results: Results) -> str:
    """The text of ``results.json``: equal for equal results."""
    return json.dumps(results, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def read_results(folder: Path) -> Results:
    """The results in ``folder``. Raises UsageError."""
    file = folder / "results.json" if folder.is_dir() else folder
    try:
        results: Results = json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise UsageError(f"no results in {folder}: {file.name} is missing") from None
    except ValueError as problem:
        raise UsageError(f"{file} is not JSON: {problem}") from None
    if not isinstance(results, dict) or results.get("format") != FORMAT:
        raise UsageError(f"{file} is not a results file of format {FORMAT}")
    return results
