"""One page for the results of many specs: methods against protocols, each on its own scale."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from attrs import frozen

from harness.errors import UsageError
from harness.report.base import base_text
from harness.report.best import BOLD
from harness.report.chosen import DAGGER, MARK, marked
from harness.report.html import document, scrolled
from harness.report.notices import warnings
from harness.report.numbers import NOTHING
from harness.report.per_method import per_method
from harness.report.read import read_results
from harness.report.repetitions import labels
from harness.report.results import MethodFacts, Results
from harness.report.tables import Table, as_text, headed, method_table, plain, seen
from harness.spec import expression

TITLE = "Methods against protocols"
MOST_METRICS, MOST_NOTICES = 3, 3
HELD_OUT = "validation_"
RULES = (
    "Each column is one metric of one protocol at one scale: columns are not comparable with each "
    "other. Metrics are those by which the spec chooses candidates (on test data), or else its "
    f"first that have a better direction, {MOST_METRICS} at most. A number is the mean over cells, "
    "then over n repetitions, with its 95 % interval; shares are in [0, 1].",
    f"{BOLD} {DAGGER} Methods that see more are not comparable with those that see less.",
)


@frozen
class Entry:
    """Results, and the folder that they were found in, from the one that was looked through."""

    place: str
    folder: Path
    results: Results

    @property
    def metrics(self) -> list[str]:
        """The names by which the page compares methods."""
        facts = self.results.metrics
        known = [m for m in self.results.order.metrics if m in facts and facts[m].better != "none"]
        asked = set(_choosing(self.results))
        chosen = [name for name in known if name in asked and not name.startswith(HELD_OUT)]
        return (chosen or known)[:MOST_METRICS]


def _choosing(results: Results) -> Iterator[str]:
    for method in results.spec["methods"]:
        select = method["select"] or {}
        if text := select.get("maximize") or select.get("minimize"):
            yield from expression.names(expression.parse(text))


def entries(folder: Path) -> tuple[list[Entry], list[str]]:
    """Every ``results.json`` below ``folder``, and why some are left out.

    Raises:
        UsageError: none of them can be read.
    """
    found, left_out = [], []
    for file in sorted(folder.rglob("results.json")):
        try:
            results = read_results(file)
            found.append(Entry(str(file.parent.relative_to(folder)), file.parent, results))
        except (UsageError, OSError) as problem:
            left_out.append(str(problem))
    if not found:
        told = "\n".join(left_out) or "harness run and harness report write results.json"
        raise UsageError(f"{folder}: no results that can be read. {told}")
    return found, left_out


def _name(results: Results, label: str) -> str:
    """A label with its component: two specs may call different methods by one label."""
    component = results.methods.get(label, MethodFacts()).component or label
    return label if component == label else f"{label} ({component})"


def scores(found: Sequence[Entry]) -> Table:
    """One row a method, and for each protocol its metrics and n."""
    headers, columns = ["method"], [_columns(entry) for entry in found]
    sees: dict[str, str] = {}
    for entry in found:
        headed_so = [headed(entry.results, name) for name in entry.metrics]
        headers += [f"{entry.place}: {text}" for text in [*headed_so, "n"]]
        for of in per_method(entry.results):
            sees[_name(entry.results, of.method)] = seen(entry.results, of.method)
    lines = [
        [method, *(cell for at, empty in columns for cell in at.get(method, empty)), given]
        for method, given in sees.items()
    ]
    return [*headers, "sees"], lines


def _columns(entry: Entry) -> tuple[dict[str, list[str]], list[str]]:
    """The cells of each method, and those of a method that is not there."""
    results, wanted = entry.results, entry.metrics
    _, lines = method_table(results)
    found = {}
    for of, line in zip(per_method(results), lines, strict=True):
        label = marked(results, of.method)
        mark = MARK if label != of.method else ""
        cells = (line[2 + results.order.metrics.index(name)] for name in wanted)
        n = line[1] + line[0].removeprefix(label)  # and of how many cells, where some lack
        found[_name(results, of.method)] = [*(_marked(cell, mark) for cell in cells), n]
    return found, [NOTHING] * (len(wanted) + 1)


def _marked(cell: str, mark: str) -> str:
    """``mark`` behind the number of a cell, before its interval."""
    mean, bracket, rest = cell.partition(" [")
    return type(cell)(mean + mark + bracket + rest)


def protocols(found: Sequence[Entry]) -> Table:
    """What each protocol is, at which scale it was run, and what must be known of its numbers."""
    headers = ["protocol", "spec", "profile", "data", "cells", "n", "base model", "caveats"]
    return headers, [
        [
            entry.place,
            f"{r.spec['id']} {r.spec['version']}",
            r.profile or "default",
            (r.data.name or "not read") + (", lossy" if r.data.lossy else ""),
            str(len(r.order.cells)),
            str(len(labels(r.spec))),
            base_text(r) or NOTHING,
            " ".join(caveats(r)) or NOTHING,
        ]
        for entry in found
        for r in [entry.results]
    ]


def caveats(results: Results) -> list[str]:
    """Why numbers may differ from the paper's or move with another seed."""
    told = ["Lossy images: accuracies are lower."] if results.data.lossy else []
    every = warnings(results)
    more = len(every) - MOST_NOTICES
    told += every[:MOST_NOTICES]
    return told + ([f"{more} more notices are in its report."] if more > 0 else [])


def as_json(found: Sequence[Entry]) -> str:
    """Every number of the page, unrounded, with what each protocol is."""
    headers, lines = protocols(found)
    page = {
        "protocols": [dict(zip(headers, line, strict=True)) for line in lines],
        "scores": [
            {
                "protocol": entry.place,
                "method": of.method,
                "component": entry.results.methods.get(of.method, MethodFacts()).component,
                "metric": name,
                "mean": of.metrics[name].mean,
                "low": of.metrics[name].low,
                "high": of.metrics[name].high,
                "n": of.metrics[name].n,
                "sees": seen(entry.results, of.method),
            }
            for entry in found
            for of in per_method(entry.results)
            for name in entry.metrics
            if name in of.metrics
        ],
        "rules": list(RULES),
    }
    return json.dumps(page, indent=2, ensure_ascii=False) + "\n"


def as_github(found: Sequence[Entry]) -> str:
    """The page as GitHub's markdown."""
    parts = [f"# {TITLE}", *map(plain, RULES), as_text(scores(found), "github")]
    return "\n\n".join([*parts, "## Protocols", as_text(protocols(found), "github")]) + "\n"


def as_html(found: Sequence[Entry], lies_in: Path) -> str:
    """The page, with links to the reports from the folder that it ``lies_in``."""
    links = (
        f'<a href="{quote(os.path.relpath(entry.folder / "report.html", lies_in))}">'
        f"{escape(entry.place)}</a>"
        for entry in found
        if (entry.folder / "report.html").is_file()
    )
    parts = [f"<h1>{TITLE}</h1>", *(f"<p>{escape(rule)}</p>" for rule in RULES)]
    parts += [scrolled(scores(found), TITLE), "<h2>Protocols</h2>"]
    parts += [scrolled(protocols(found), "What each column was measured on")]
    return document(TITLE, [*parts, f"<p>Reports: {' · '.join(links)}</p>"])
