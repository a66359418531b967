"""The model card of a published repository, from what the repository holds."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from harness.plan.model_config import TASKS
from harness.plan.stage import canonical
from harness.report.checklist import checklist_table, fenced
from harness.report.results import Results
from harness.report.tables import as_text, main_table, plain
from harness.spec.blocks import Data
from harness.spec.fit import facts_of
from harness.spec.structure import structure_block
from harness.store.registry import CONFIG, Entry

# Data sets of the harness by their names on the Hub.
DATASETS = {
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
    "mnist": "ylecun/mnist",
    "imagenette": "frgfm/imagenette",
}
# Metrics of the harness that the Hub knows by another name, and the split that they are of.
STANDARD = {
    "clean_accuracy": ("accuracy", "test"),
    "validation_accuracy": ("accuracy", "validation"),
    "retain_accuracy": ("accuracy", "retain"),
    "forget_accuracy": ("accuracy", "forget"),
}

Specs = Mapping[str, Mapping[str, Any]]  # plain, by their digests


def spec_path(spec: str, digest: str) -> str:
    """Where a spec lies in a repository."""
    return f"specs/{spec}-{digest[:12]}.yaml"


def results_page(results: Results) -> str:
    """The results and the checklist of one run."""
    parts = ["# Results", as_text(main_table(results), "github")]
    parts += ["# Reproducibility checklist", as_text(checklist_table(results), "github")]
    return "\n\n".join(parts) + "\n"


def card(
    repo: str, commit: str, entries: Sequence[Entry], specs: Specs, licence: str, index: str
) -> str:
    """``README.md`` with its metadata: how to load, a row with numbers for each checkpoint, papers.

    ``commit`` holds everything that it tells of, ``index`` is the digest of the list of that.
    """
    entries = sorted(entries, key=lambda entry: entry.path)
    models = [entry for entry in entries if CONFIG in entry.files]
    titles = list(dict.fromkeys(f"{e.spec['id']} {e.spec['version']}" for e in entries))
    parts = [
        f"---\n{_metadata(models, specs, licence)}---",
        f"# {plain(repo.split('/')[1])}",
        f"<!-- of the index {index} -->",
        f"Checkpoints of {', '.join(map(plain, titles))}, made by `harness`, an evaluation "
        "harness for machine unlearning and data poisoning. **Some of these models are poisoned on "
        "purpose**; they are for research. The registry pins commit and hashes of each; `specs/` "
        "has every resolved setting, `results/` the results with their checklist, and the "
        f"`{CONFIG}` beside a model its architecture, classes and preprocessing.",
    ]
    alike = Counter(map(_words, models))
    calls = {entry.key: _call(entry, repo, commit, alike) for entry in models}
    if models:
        first = next((e for e in models if e.kind == "unlearn"), models[0])
        parts += ["## Load", fenced(f"import harness\nmodel = {calls[first.key]}", "python")]
    names = list(dict.fromkeys(name for entry in models for name in entry.metrics))
    rows = [
        [
            f"[{plain(entry.path)}](https://huggingface.co/{repo}/tree/{commit}/{entry.path})",
            *(_shown(entry.metrics.get(name)) for name in names),
            _code(calls[entry.key]) if entry.key in calls else "",
        ]
        for entry in [*models, *(e for e in entries if e.key not in calls)]
    ]
    parts += ["## Checkpoints", _table(["checkpoint", *map(plain, names), "load"], rows)]
    for title, paper in _papers(specs).items():
        parts += [f"## {plain(title)}", *_cited(title, paper)]
    return "\n\n".join(parts) + "\n"


def _words(entry: Entry) -> str:
    return f"{entry.method} {entry.seed} {canonical(dict(entry.cell))}"


def _call(entry: Entry, repo: str, commit: str, alike: Mapping[str, int]) -> str:
    """The call that loads ``entry`` and nothing else, whatever is published later."""
    asked: dict[str, Any] = {"method": entry.method, "seed": entry.seed}
    if entry.cell:
        asked["cell"] = dict(entry.cell)
    if alike[_words(entry)] > 1:
        asked = {"path": entry.path}
    said = "".join(f", {name}={_literal(value)}" for name, value in asked.items())
    return f'harness.load_checkpoint("{repo}"{said}, revision="{commit}")'


def _literal(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _code(text: str) -> str:
    return "`" + text.replace("`", "'").replace("|", "\\|") + "`"


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _table(headers: list[str], rows: list[list[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _papers(specs: Specs) -> dict[str, Mapping[str, Any]]:
    found = (spec.get("paper") for spec in specs.values())
    return {str(paper["title"]): paper for paper in found if paper and paper.get("title")}


def _cited(title: str, paper: Mapping[str, Any]) -> list[str]:
    """Who wrote a paper, where it is, and its BibTeX entry."""
    authors, arxiv = list(map(str, paper.get("authors") or ())), paper.get("arxiv")
    links = [f"[arXiv:{arxiv}](https://arxiv.org/abs/{arxiv})"] if arxiv else []
    links += [f"<{paper['code']}>"] if paper.get("code") else []
    year = re.search(r"\b(?:19|20)\d\d\b", str(paper.get("venue") or ""))
    fields = {
        "title": title,
        "author": " and ".join(authors),
        "year": year[0] if year else "",
        "note": str(paper.get("venue") or ""),
        "eprint": arxiv or "",
        "archivePrefix": "arXiv" if arxiv else "",
    }
    said = [f"  {n} = {{{re.sub(r'[{}]', '', v)}}}," for n, v in fields.items() if v]
    family = re.sub(r"\W", "", authors[0].split()[-1]) if authors else "paper"
    bibtex = "\n".join([f"@misc{{{family.lower()}{fields['year']},", *said, "}"])
    line = ", ".join(map(plain, [*authors, *filter(None, [paper.get("venue")])]))
    return [*filter(None, [line, " ".join(links)]), fenced(bibtex, "bibtex")]


def _metadata(models: Sequence[Entry], specs: Specs, licence: str) -> str:
    tasks = {digest: _task(spec) for digest, spec in specs.items()}
    found: dict[str, Any] = {"license": licence, "library_name": "harness"}
    known = set(filter(None, tasks.values()))
    if len(known) == 1:
        found["pipeline_tag"] = known.pop()
    arxiv = [f"arxiv:{p['arxiv']}" for p in _papers(specs).values() if p.get("arxiv")]
    found["tags"] = ["machine-unlearning", "data-poisoning", "safetensors", *arxiv]
    names = dict.fromkeys(_dataset(spec) for spec in specs.values())
    if datasets := [DATASETS[name] for name in names if name in DATASETS]:
        found["datasets"] = datasets
    index = [
        {"name": entry.path, "results": results}
        for entry in models
        if (results := _results(entry, specs.get(entry.spec["digest"], {}), tasks))
    ]
    if index:
        found["model-index"] = index
    return str(yaml.safe_dump(found, sort_keys=False, allow_unicode=True))


def _dataset(spec: Mapping[str, Any]) -> str:
    try:
        return str(spec["data"]["dataset"]["name"])
    except (KeyError, TypeError):
        return "unknown"


def _task(spec: Mapping[str, Any]) -> str | None:
    """What the models of ``spec`` do, where that is known here."""
    try:
        return TASKS.get(facts_of(structure_block(Data, spec["data"])).encoding.name)
    except Exception:  # somebody else's spec
        return None


def _results(
    entry: Entry, spec: Mapping[str, Any], tasks: Mapping[str, str | None]
) -> list[dict[str, Any]]:
    """What was measured of a checkpoint, by split."""
    by_split: dict[str, list[dict[str, Any]]] = {}
    for name, value in entry.metrics.items():
        kind, split = STANDARD.get(name, (name, "test"))
        if value is not None:
            by_split.setdefault(split, []).append({"type": kind, "name": name, "value": value})
    dataset = _dataset(spec)
    return [
        {
            "task": {"type": tasks.get(entry.spec["digest"]) or "other"},
            "dataset": {"name": dataset, "type": DATASETS.get(dataset, dataset), "split": split},
            "metrics": metrics,
        }
        for split, metrics in by_split.items()
    ]
