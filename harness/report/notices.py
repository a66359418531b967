"""What a reader must know before the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.report.coverage import in_words, points

MOST = 5


def origin(results: Mapping[str, Any]) -> str:
    """Whose numbers are compared."""
    paper = results["spec"]["paper"]
    if paper is None:
        return "Our own demonstration; it makes no claim about any paper."
    authors = ", ".join(paper.get("authors") or ())
    arxiv = paper.get("arxiv")
    place = ", ".join(filter(None, (authors, paper.get("venue"), arxiv and f"arXiv {arxiv}")))
    return f"Protocol of “{paper['title']}”" + (f" ({place})." if place else ".")


def warnings(results: Mapping[str, Any]) -> list[str]:
    """Failures, gaps, and what was not run as the protocol says; empty when all is well."""
    return [*_failures(results), *_gaps(results), *_not_finite(results), *_changes(results)]


def _failures(results: Mapping[str, Any]) -> Iterator[str]:
    for failure in results["failed"]:
        stopped = len(failure["stopped"])
        yield (
            f"The stage {failure['stage']} failed ({failure['error']}); {stopped} "
            f"{'stage that needs it was' if stopped == 1 else 'stages that need it were'} not run."
        )


def _gaps(results: Mapping[str, Any]) -> Iterator[str]:
    gaps = results["missing"]
    lacking = sum(len(entry["seeds"]) for entry in gaps)
    if lacking:
        every = sum(1 for _ in points(results))
        shown = _some(list(map(in_words, gaps)))
        yield f"Incomplete: {lacking} of {every} points of the protocol have no result: {shown}."


def _not_finite(results: Mapping[str, Any]) -> Iterator[str]:
    lost = [
        f"{metric} = {what} ({in_words({**row, 'seeds': [row['seed']]})})"
        for row in results["rows"]
        for metric, what in row.get("notes", {}).items()
    ]
    if lost:
        yield f"{len(lost)} values are not finite and left out of every mean: {_some(lost)}."


def _changes(results: Mapping[str, Any]) -> Iterator[str]:
    if results["profile"] is not None:
        yield f"Profile {results['profile']!r}: a scaled or changed protocol."
    if results.get("changes"):
        yield f"Changed on the command line: {', '.join(results['changes'])}."
    if results["spec"]["train"]["checkpoint"] == "best_test":
        yield "Every training keeps its best weights on the test set: all numbers are optimistic."
    if results["spec"]["deterministic"] == "statistical":
        yield "Fast kernels: numbers repeat in distribution, not bit for bit."


def _some(items: list[str]) -> str:
    more = f"; and {len(items) - MOST} more" if len(items) > MOST else ""
    return "; ".join(items[:MOST]) + more
