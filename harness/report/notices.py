"""What a reader must know before the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from harness.report.asked import paper_of
from harness.report.coverage import gaps_in_words, in_words, points
from harness.report.results import Results

MOST = 5


def protocol_of(spec: Mapping[str, Any]) -> str:
    """Whose protocol a resolved spec is."""
    paper = paper_of(spec)
    if paper is None:
        return "Our own demonstration; it makes no claim about any paper."
    arxiv = paper.arxiv and f"arXiv {paper.arxiv}"
    place = ", ".join(filter(None, (", ".join(paper.authors), paper.venue, arxiv)))
    return f"Protocol of “{paper.title}”" + (f" ({place})." if place else ".")


def warnings(results: Results) -> list[str]:
    """Failures, gaps, and what was not run as the protocol says; empty when all is well."""
    stages = results.provenance.stages
    apart = stages.apart if stages else ()
    found = (_failures(results), _gaps(results), _not_finite(results), apart, _changes(results))
    return [*chain.from_iterable(found)]


def _failures(results: Results) -> Iterator[str]:
    for failure in results.failed:
        stopped = len(failure.stopped)
        yield (
            f"The stage {failure.stage} failed ({failure.error}); {stopped} "
            f"{'stage that needs it was' if stopped == 1 else 'stages that need it were'} not run."
        )


def _gaps(results: Results) -> Iterator[str]:
    lacking = sum(len(gap.seeds) for gap in results.gaps)
    if lacking:
        every = sum(1 for _ in points(results))
        shown = _some(gaps_in_words(results.gaps))
        yield f"Incomplete: {lacking} of {every} points of the protocol have no result: {shown}."


def _not_finite(results: Results) -> Iterator[str]:
    lost = [
        f"{metric} = {what} ({in_words(row.method, row.cell, [row.seed])})"
        for row in results.rows
        for metric, what in row.notes.items()
    ]
    if lost:
        yield f"{len(lost)} values are not finite and left out of every mean: {_some(lost)}."


def _changes(results: Results) -> Iterator[str]:
    if results.profile is not None:
        yield f"Profile {results.profile!r}: a scaled or changed protocol."
    if results.changes:
        yield f"Changed on the command line: {', '.join(results.changes)}."
    if results.spec["train"]["checkpoint"] == "best_test":
        yield "Every training keeps its best weights on the test set: all numbers are optimistic."
    if results.spec["deterministic"] == "statistical":
        yield "Fast kernels: numbers repeat in distribution, not bit for bit."


def _some(items: list[str]) -> str:
    more = f"; and {len(items) - MOST} more" if len(items) > MOST else ""
    return "; ".join(items[:MOST]) + more
