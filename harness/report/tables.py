"""The tables of a report, through tabulate."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from typing import Any

from tabulate import tabulate

FORMATS = {"github": "github", "latex": "latex_booktabs", "html": "html"}
Table = tuple[list[str], list[list[str]]]


def render(results: Mapping[str, Any], form: str) -> str:
    """The tables of ``results`` as ``github``, ``latex``, ``html`` or ``csv``."""
    if form == "csv":
        return _csv(results)
    parts = [as_text(main_table(results), form)]
    if results["claims"]:
        parts.append(as_text(claims_table(results), form))
    return "\n\n".join(parts)


def fitting(results: Mapping[str, Any], width: int) -> str:
    """The main table with as many of the first metrics as fit a terminal of ``width`` columns."""
    headers, rows = main_table(results)
    metrics = len(results["metrics"])
    for left_out in range(metrics):
        keep = len(headers) - left_out
        text = tabulate([row[:keep] for row in rows], headers=headers[:keep], disable_numparse=True)
        if len(text.split("\n", 1)[0]) <= width:
            break
    return text + (f"\n\n{left_out} more metrics are in the report" if left_out else "")


def as_text(table: Table, form: str) -> str:
    """One table."""
    headers, rows = table
    if form == "github":
        rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return str(tabulate(rows, headers=headers, tablefmt=FORMATS[form], disable_numparse=True))


def axes_of(results: Mapping[str, Any]) -> list[str]:
    """The axes of the cells, in the order of the spec."""
    return list(dict.fromkeys(axis for row in results["rows"] for axis in row["cell"]))


def main_table(results: Mapping[str, Any]) -> Table:
    """One row for each method and cell: mean and standard deviation of every metric."""
    return _summary_table(results, number)


def interval_table(results: Mapping[str, Any]) -> Table:
    """One row for each method and cell: the 95 % interval of the mean of every metric."""
    return _summary_table(results, interval)


def _summary_table(results: Mapping[str, Any], shown: Callable[[Any], str]) -> Table:
    metrics = list(results["metrics"])
    axes = axes_of(results)
    rows = [
        [
            *(str(entry["cell"][axis]) for axis in axes),
            entry["method"],
            str(len(entry["seeds"])),
            *(shown(entry["metrics"].get(metric)) for metric in metrics),
        ]
        for entry in results["summary"]
    ]
    return [*axes, "method", "n", *map(_headed(results), metrics)], rows


def _headed(results: Mapping[str, Any]) -> Any:
    arrows = {"higher": " ↑", "lower": " ↓"}

    def header(metric: str) -> str:
        return metric + arrows.get(results["metrics"][metric]["better"], "")

    return header


def number(entry: Mapping[str, Any] | None) -> str:
    """``0.912 ± 0.004``, or the mean alone where there is no spread."""
    if entry is None:
        return "–"
    if entry["std"] is None:
        return f"{entry['mean']:.3f}"
    return f"{entry['mean']:.3f} ± {entry['std']:.3f}"


def interval(entry: Mapping[str, Any] | None) -> str:
    """``[0.902, 0.921]``, or a dash where there is one seed only."""
    if entry is None or entry["low"] is None:
        return "–"
    return f"[{entry['low']:.3f}, {entry['high']:.3f}]"


def methods_table(results: Mapping[str, Any]) -> Table:
    """What each method is and may see: methods that see more are not comparable."""
    rows = [
        [label, m["component"], ", ".join(m["sees"]), m["source"]]
        for label, m in results["methods"].items()
    ]
    return ["method", "component", "sees", "source"], rows


def claims_table(results: Mapping[str, Any]) -> Table:
    """The paper's numbers beside ours."""
    rows = []
    for claim in results["claims"]:
        at = ", ".join(f"{axis}={value}" for axis, value in claim["at"].items())
        what = f"{claim['metric']} of {claim['method']}" + (f" at {at}" if at else "")
        paper = f"{claim['value']:g} {claim['unit']}".strip()
        verdict = claim["verdict"] + (f": {claim['reason']}" if claim["reason"] else "")
        rows.append([what, claim["where"], paper, number(claim["ours"]), verdict])
    return ["claim", "where", "paper", "ours", "verdict"], rows


def _csv(results: Mapping[str, Any]) -> str:
    """Every row, chosen or not, with all its values: for spreadsheets and scripts."""
    axes, metrics = axes_of(results), list(results["metrics"])
    candidates = list(dict.fromkeys(name for row in results["rows"] for name in row["candidate"]))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*axes, "seed", "method", *candidates, "selected", *metrics])
    for row in results["rows"]:
        writer.writerow(
            [
                *(row["cell"].get(axis, "") for axis in axes),
                row["seed"],
                row["method"],
                *(row["candidate"].get(name, "") for name in candidates),
                row["selected"],
                *(row["metrics"].get(metric, "") for metric in metrics),
            ]
        )
    return stream.getvalue().rstrip("\n")
