"""The reproducibility checklist: what the paper reported, and what this run pinned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.report.tables import Table, as_text

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


def checklist(results: Mapping[str, Any]) -> str:
    """``checklist.md``."""
    spec = results["spec"]
    table = as_text(checklist_table(results), "github")
    return f"# Reproducibility checklist: {spec['id']} {spec['version']}\n\n{table}\n"


def checklist_table(results: Mapping[str, Any]) -> Table:
    """The nine variables with both answers."""
    paper = results["spec"]["paper"]
    rows = [[t, _reported(paper, v), _pinned(v, results)] for v, t in TITLES.items()]
    return ["variable", "the paper", "this run"], rows


def _reported(paper: Mapping[str, Any] | None, variable: str) -> str:
    if paper is None:
        return "no paper: our own demonstration"
    found = paper["checklist"][variable]
    if found is None:
        return "not recorded in the spec"
    return f"{found['answer']}" + (f": {found['evidence']}" if found["evidence"] else "")


def _pinned(variable: str, results: Mapping[str, Any]) -> str:
    spec, run, data = results["spec"], results["provenance"], results["data"]
    git = run.get("git") or {}
    match variable:
        case "research_type":
            return "experimental"
        case "affiliation":
            return "the author's to state"
        case "pseudocode":
            names = sorted({m["component"] for m in results["methods"].values()})
            return f"code of each method, with its source: {', '.join(names)}"
        case "open_source_code":
            dirty = " with uncommitted changes" if git.get("dirty") else ""
            return f"revision {git['revision']}{dirty}" if git else "not run from a git checkout"
        case "open_datasets":
            return f"{data.get('name', '?')}, SHA-256 {data.get('digest', 'unknown')}"
        case "dataset_splits":
            parts = [
                f"{part} {data[part]:,}" for part in ("train", "validation", "test") if part in data
            ]
            return "; ".join(parts) + "; drawn from the seed by fixed rules"
        case "hardware_specification":
            machine = run["machine"]
            gpus = ", ".join(machine.get("gpu", ())) or "none"
            return f"{machine['cpu']}, {machine['cpus']} processors; GPU: {gpus}"
        case "software_dependencies":
            return ", ".join(f"{name} {v}" for name, v in run["versions"].items())
        case _:
            seeds = ", ".join(map(str, spec["seeds"]))
            return f"all settings below; seeds {seeds}; deterministic: {spec['deterministic']}"
