"""``report.md``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.report.checklist import fenced
from harness.report.chosen import EXPLAINED, any_chosen, dagger
from harness.report.notices import origin, warnings
from harness.report.pinned import cost_table, provenance_table
from harness.report.section import Section
from harness.report.tables import (
    as_text,
    candidates_table,
    caption,
    claims_table,
    interval_table,
    main_table,
    methods_table,
    metrics_table,
    plain,
)

PLOT_FILE = "trade_off.svg"
NOT_COMPARABLE = "Methods that see more are not comparable with those that see less."


def figure_file(position: int) -> str:
    """The name of the file that holds the drawing of a figure."""
    return f"figure_{position + 1}.svg"


def markdown(results: Mapping[str, Any], plot: bool, figures: Sequence[Section]) -> str:
    """The whole report; ``plot`` says whether a plot lies beside it."""
    spec = results["spec"]
    parts = [f"# {spec['id']} {spec['version']}", plain(origin(results)), plain(spec["note"])]
    parts += [f"> **{plain(warning)}**" for warning in warnings(results)]
    if results["claims"]:
        parts += ["## Claims beside ours", as_text(claims_table(results), "github")]
    parts += ["## Results", caption(results), as_text(main_table(results), "github")]
    if plot:
        parts += [f"![trade-off between the methods]({PLOT_FILE})", dagger(results)]
    parts += [
        "### 95 % intervals of the mean",
        "Student's t over the seeds; wide where seeds are few.",
        as_text(interval_table(results), "github"),
    ]
    tried = candidates_table(results)
    if tried[1]:
        parts += ["### Candidates", "All that were tried.", as_text(tried, "github")]
    if figures:
        parts.append("## Figures")
    for i, figure in enumerate(figures):
        parts += _section(figure, figure_file(i))
    parts += [
        "## Methods",
        NOT_COMPARABLE,
        EXPLAINED if any_chosen(results) else "",
        as_text(methods_table(results), "github"),
        "## Metrics",
        as_text(metrics_table(results), "github"),
        "## Cost",
        as_text(cost_table(results), "github"),
        "## Provenance",
        as_text(provenance_table(results), "github"),
        "## How to run it again",
        fenced(results["provenance"].get("command", "")),
        "See also [checklist.md](checklist.md) and [results.json](results.json).",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _section(section: Section, file: str = "") -> list[str]:
    title = plain(section.title)
    parts = [f"### {title}"]
    parts += [f"![{title}]({file})"] if section.drawing is not None else []
    parts += map(plain, section.notes)
    for name, table in section.tables:
        parts += [plain(name), as_text(table, "github")]
    return parts
