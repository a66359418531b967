"""``report.md``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.report.tables import as_text, claims_table, interval_table, main_table, methods_table

PLOT_FILE = "trade_off.svg"


def origin(results: Mapping[str, Any]) -> str:
    """Whose numbers are compared."""
    paper = results["spec"]["paper"]
    if paper is None:
        return "Our own demonstration; it makes no claim about any paper."
    place = ", ".join(filter(None, (paper["venue"], paper["arxiv"] and f"arXiv {paper['arxiv']}")))
    return f"Protocol of “{paper['title']}”" + (f" ({place})." if place else ".")


def warnings(results: Mapping[str, Any]) -> list[str]:
    """What a reader must know before the numbers."""
    found = [
        f"The stage {failure['stage']} failed ({failure['error']}); "
        f"{len(failure['stopped'])} stages that need it were not run. Cells are missing."
        for failure in results["failed"]
    ]
    if results["profile"] is not None:
        found.append(f"Profile {results['profile']!r}: a scaled or changed protocol.")
    if results["spec"]["deterministic"] == "statistical":
        found.append("Fast kernels: numbers repeat in distribution, not bit for bit.")
    return found


def markdown(results: Mapping[str, Any], plot: bool) -> str:
    """The whole report."""
    spec = results["spec"]
    parts = [f"# {spec['id']} {spec['version']}", origin(results), spec["note"]]
    parts += [f"> **{warning}**" for warning in warnings(results)]
    if results["claims"]:
        parts += ["## Claims beside ours", as_text(claims_table(results), "github")]
    parts += [
        "## Results",
        "Mean ± standard deviation over n seeds; shares in [0, 1]; arrows say which way is better.",
        as_text(main_table(results), "github"),
    ]
    if plot:
        parts.append(f"![accuracy against attack success]({PLOT_FILE})")
    parts += [
        "### 95 % intervals of the mean",
        "Student's t over the seeds; wide where seeds are few.",
        as_text(interval_table(results), "github"),
        "## Methods",
        "Methods that see more are not comparable with those that see less.",
        as_text(methods_table(results), "github"),
        "See also [checklist.md](checklist.md) and [results.json](results.json).",
        f"Made by `{results['provenance']['command']}`.",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"
