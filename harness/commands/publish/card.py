"""The model card of a published repository."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from harness.plan.kinds import kinds
from harness.report.checklist import checklist_table, fenced
from harness.report.results import Results, Summary
from harness.report.tables import as_text, main_table, plain
from harness.store.registry import Entry

# Data sets of the harness by their names on the Hub.
DATASETS = {
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
    "mnist": "ylecun/mnist",
    "imagenette": "frgfm/imagenette",
}


def card(
    *,
    repo: str,
    spec: Mapping[str, Any],
    spec_digest: str,
    entries: Iterable[Entry],
    results: Results | None,
    licence: str,
) -> str:
    """``README.md`` with its metadata: how to load, the numbers, the checklist, the spec."""
    entries = sorted(entries, key=lambda entry: entry.file.name)
    example = next((e.tensors for e in entries if e.tensors and kinds()[e.kind].weights), None)
    parts = [
        f"---\n{_metadata(repo, spec, results, licence)}---",
        f"# {spec['id']}",
        f"Checkpoints of the spec `{spec['id']}` {spec['version']}, made by `harness`, an "
        "evaluation harness for machine unlearning and data poisoning. **Some of these models are "
        "poisoned on purpose**; they are for research. The registry file of each checkpoint pins "
        f"its commit and hashes. Every resolved setting is in [spec.yaml](spec.yaml), digest "
        f"`{spec_digest}`.",
    ]
    if example is not None:
        parts += ["## Load", fenced(_loading(repo, example.path), "python")]
    rows = [[plain(e.file.stem), f"`{e.kind}/{e.key}`"] for e in entries]
    parts += ["## Checkpoints", _table(["checkpoint", "folder"], rows)]
    if results is not None:
        parts += ["## Results", as_text(main_table(results), "github")]
        parts += ["## Reproducibility checklist", as_text(checklist_table(results), "github")]
    return "\n\n".join(parts) + "\n"


def _loading(repo: str, path: str) -> str:
    return (
        "from huggingface_hub import hf_hub_download\n"
        "from safetensors.torch import load_file\n"
        f'weights = load_file(hf_hub_download("{repo}", "{path}"))'
    )


def _table(headers: list[str], rows: list[list[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _metadata(repo: str, spec: Mapping[str, Any], results: Results | None, licence: str) -> str:
    name = spec["data"]["dataset"]["name"]
    found: dict[str, Any] = {
        "license": licence,
        "library_name": "harness",
        "tags": ["machine-unlearning", "data-poisoning", "safetensors"],
    }
    if name in DATASETS:
        found["datasets"] = [DATASETS[name]]
    if results is not None:
        found["model-index"] = [{"name": repo.split("/")[1], "results": _index(name, results)}]
    return str(yaml.safe_dump(found, sort_keys=False, allow_unicode=True))


def _index(dataset: str, results: Results) -> list[dict[str, Any]]:
    """One result for each method and cell, with the mean of every metric."""
    return [
        {
            "task": {"type": "image-classification"},
            "dataset": {"name": dataset, "type": DATASETS.get(dataset, dataset)},
            "metrics": [
                {"type": metric, "name": _titled(metric, summary), "value": found.mean}
                for metric, found in summary.metrics.items()
                if found.mean is not None
            ],
        }
        for summary in results.summaries
    ]


def _titled(metric: str, summary: Summary) -> str:
    cell = ", ".join(f"{name}={value}" for name, value in summary.cell.items())
    return f"{metric} of {summary.method}" + (f" ({cell})" if cell else "")
