"""What a reader must know before the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.report.asked import paper_of
from harness.report.coverage import gaps_in_words, in_words, points
from harness.report.order import as_key
from harness.report.record import Seed
from harness.report.removal import damaged
from harness.report.results import MethodFacts, ResultRow, Results
from harness.report.spread import statistics
from harness.spec.fit import too_large

MOST = 5
MARGIN = 0.05  # of accuracy above guessing


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
    return [
        *_failures(results),
        *_gaps(results),
        *_not_finite(results),
        *_diverged(results),
        *damaged(results),
        *(stages.apart if stages else ()),
        *_at_chance(results),
        *_few(results),
        *too_large(results.spec["train"]["batch_size"], results.data.splits.get("train")),
        *of_code(results),
        *_changes(results),
    ]


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


def _diverged(results: Results) -> Iterator[str]:
    lost = [row for row in results.rows if row.diverged]
    if lost:
        shown = [in_words(_tried(row), row.cell, [row.seed]) for row in lost]
        chosen = sum(row.selected for row in lost)
        yield (
            f"{len(lost)} of {len(results.rows)} unlearnings diverged and have no numbers, "
            f"{chosen or 'none'} of them chosen, for want of one that did not: {_some(shown)}."
        )


def _tried(row: ResultRow) -> str:
    values = ", ".join(f"{name}={value}" for name, value in row.candidate.items())
    return f"{row.method} with {values}" if values else row.method


def _at_chance(results: Results) -> Iterator[str]:
    """Where the base model, as far as it is measured, is hardly better than guessing: less than
    MARGIN above it, by the lower end of its interval over seeds, or by the mean of one or two."""
    chance = 1 / (results.data.classes or 1)
    bases: dict[str, dict[Seed, float]] = {}
    for row in results.rows:
        if (accuracy := _base_accuracy(row, results)) is not None:
            bases.setdefault(as_key(row.cell), {})[row.seed] = accuracy
    cells = {as_key(cell): cell for cell in results.order.cells}
    lost = []
    for key, by_seed in bases.items():
        found = statistics(list(by_seed.values()))
        lowest = found.low if found.n > 2 else found.mean
        if lowest is not None and lowest < chance + MARGIN:
            what = in_words(f"accuracy {found.mean:.3f}", cells[key], list(by_seed))
            lost.append(what)
    if lost:
        unlearned = any(facts.component != "none" for facts in results.methods.values())
        yield (
            f"The base model is about as good as guessing among {results.data.classes} classes"
            f"{', so that nothing can be said of unlearning' * unlearned}: {_some(lost)}."
        )


def _base_accuracy(row: ResultRow, results: Results) -> float | None:
    """On clean test data: that of an unlearned model and what it dropped, or the model itself."""
    here, drop = row.metrics.get("clean_accuracy"), row.metrics.get("accuracy_drop")
    if drop is None and results.methods.get(row.method, MethodFacts()).component == "none":
        drop = 0.0
    return None if here is None or drop is None else here + drop


def _few(results: Results) -> Iterator[str]:
    most = max((len(summary.seeds) for summary in results.summaries), default=0)
    if most == 1:
        yield "One repetition: nothing is known of the spread."
    if most == 2:
        yield "Two repetitions: intervals from two values say little."


def of_code(results: Results) -> Iterator[str]:
    """Numbers that come from other code than what is installed, as far as that is known."""
    edited = [found for found in results.components if found.edited]
    names = [f"{found.kind.removesuffix('s')} {found.name}" for found in edited]
    if len(edited) > 1:
        stages = [f"{name} ({found.edited})" for name, found in zip(names, edited, strict=True)]
        yield (
            f"The code of {len(edited)} components has changed since some of their stages were "
            f"computed, each under the revision that it still has: {', '.join(stages)}. Raise the "
            "revision of those whose numbers changed, or run with --recompute "
            f"{names[0].replace(' ', '=')} and so on."
        )
    elif edited:
        yield (
            f"The code of the {names[0]} has changed since {edited[0].edited} of its "
            f"stages were computed, all under revision {edited[0].revision}. Raise its revision "
            f"if its numbers changed, or run with --recompute {names[0].replace(' ', '=')}."
        )
    for found in results.components:
        word = found.kind.removesuffix("s")
        if found.unread:
            yield (
                f"The code of the {word} {found.name} cannot be read, so that an edit of it is "
                f"not noticed: raise its revision, or run with --recompute {word}={found.name}."
            )


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
