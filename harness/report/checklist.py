"""The reproducibility checklist: what the paper reported, and what this run pinned."""

from __future__ import annotations

from harness.report import proof
from harness.report.asked import paper_of
from harness.report.pinned import (
    code_text,
    components_text,
    hardware_text,
    origins_table,
    origins_text,
    settings_text,
    software_text,
)
from harness.report.repetitions import seeds_text
from harness.report.results import DataFacts, Results
from harness.report.tables import Table, as_text
from harness.spec.paper import Paper, Reported

TITLES = {
    "research_type": "Research type",
    "affiliation": "Affiliation",
    "pseudocode": "Pseudocode",
    "open_source_code": "Open source code",
    "open_datasets": "Open data sets",
    "dataset_splits": "Data set splits",
    "hardware_specification": "Hardware specification",
    "software_dependencies": "Software dependencies",
    "experiment_setup": "Experiment setup",
}

ORIGINS = (
    "The origin is the paper, its official code, a secondary source on it, or ours: what we chose "
    "or changed. The place is in that source."
)


def checklist(results: Results) -> str:
    """``checklist.md``."""
    spec = results.spec
    parts = [
        f"# Reproducibility checklist: {spec['id']} {spec['version']}",
        "The variables are those of Gundersen et al. Each is answered twice: what the paper "
        "reported, as the spec records it, and what this run pinned.",
        as_text(checklist_table(results), "github"),
    ]
    if origins := origins_text(results):
        table = as_text(origins_table(results), "github")
        parts += ["## Where the values come from", f"{ORIGINS} The {origins}.", table]
    parts += command_section(results)
    parts += ["## Every resolved setting", fenced(settings_text(results.spec), "yaml")]
    return "\n\n".join(parts) + "\n"


def fenced(text: str, language: str = "") -> str:
    """A Markdown code block that ``text`` cannot end."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def command_section(results: Results) -> list[str]:
    """The command as it can be typed again, where it was recorded."""
    command = results.provenance.command
    return ["## The command", proof.WHERE, fenced(command)] if command else []


def checklist_table(results: Results) -> Table:
    """The nine variables with both answers."""
    paper = paper_of(results.spec)
    rows = [[t, _reported(paper, v), _pinned(v, results)] for v, t in TITLES.items()]
    if places := dict.fromkeys(c.where for c in results.verdicts if c.claim == "unknown"):
        numbers = f"unknown, and judged by nothing: {'; '.join(places)}"
        rows.append(["Reported numbers", numbers, "ours stand in the table of claims"])
    return ["variable", "the paper", "this run"], rows


def _reported(paper: Paper | None, variable: str) -> str:
    if paper is None:
        return "no paper: our own demonstration"
    found: Reported | None = getattr(paper.checklist, variable)
    if found is None:
        return "not recorded in the spec"
    return found.answer + (f": {found.evidence}" if found.evidence else "")


def _pinned(variable: str, results: Results) -> str:
    data, spec = results.data, results.spec
    match variable:
        case "research_type":
            return "experimental"
        case "affiliation":
            return "the author's to state"
        case "pseudocode":
            sources = [f"{m.component} ({m.source})" for m in results.methods.values()]
            return f"code of each method, with its source: {'; '.join(sorted(set(sources)))}"
        case "open_source_code":
            return f"{code_text(results)}; revisions of components: {components_text(results)}"
        case "open_datasets":
            return proof.data(results) or "not recorded: no data were read"
        case "dataset_splits":
            return _splits(data)
        case "hardware_specification":
            return hardware_text(results)
        case "software_dependencies":
            return software_text(results)
        case _:
            origins = origins_text(results)
            return (
                f"{seeds_text(spec)}; {spec['deterministic']} determinism; "
                f"profile {results.profile or 'default'}; {origins}{'; ' if origins else ''}"
                "every resolved setting and the command are in results.json"
            )


def _splits(data: DataFacts) -> str:
    parts = [f"{part} {count:,}" for part, count in data.splits.items()]
    if not parts:
        return "not recorded: no data were read"
    return "; ".join(parts) + " samples; drawn from the seed by fixed rules"
