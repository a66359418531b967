"""The first words of a report: what was asked, what held, what is open, and what it stands on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from harness.report.asked import paper_of
from harness.report.base import base_text
from harness.report.coverage import points
from harness.report.forgotten import forgotten
from harness.report.notices import MOST, protocol_of, warnings
from harness.report.removal import reached
from harness.report.repetitions import seeds_text
from harness.report.results import Results
from harness.report.tables import evidence
from harness.report.verdict import Verdict

# What is said of each verdict beside the counts of the first sentence.
JUDGED = {"reproduced": "Held", "deviates": "Deviates", "open": "Open", "no verdict": "No verdict"}
UNTESTED = "not comparable"


def answer(results: Results) -> str:
    """Which methods reach the reference of a claim on all of them; then one sentence: how many
    claims could be tested, and what became of them."""
    claims = results.verdicts
    if not claims:
        every = sum(1 for _ in points(results))
        there = every - sum(len(gap.seeds) for gap in results.gaps)
        return f"No claim of a paper is tested here; {there} of {every} results are there."
    found = Counter(claim.said for claim in claims)
    testable = len(claims) - found[UNTESTED]
    if testable:
        said = dict.fromkeys([*JUDGED, *(verdict for verdict in found if verdict != UNTESTED)])
        told = ", ".join(f"{found[verdict]} {verdict}" for verdict in said)
    else:
        reasons = _reasons(claims)
        told = reasons[0][0] if len(reasons) == 1 else "for the reasons below"
    counted = f"{_claims(len(claims))}, {testable} testable here: {told}."
    return " ".join([*reached(claims), counted])


def box(results: Results) -> list[tuple[str, tuple[str, ...]]]:
    """What stands under that sentence: sentences by what they are about."""
    lines = [("Forgotten", tuple(forgotten(results))), ("Asked", (_asked(results),))]
    for verdict, label in JUDGED.items():
        lines.append((label, _some(map(_claim, _of(results, verdict)), "in the table of claims")))
    reasons = _reasons(results.verdicts)
    if len(reasons) > 1 or (reasons and reasons[0][1] < len(results.verdicts)):
        told = [f"{_claims(count)}: {reason}." for reason, count in reasons]
        lines.append(("Not tested", _some(told, "in the table of claims")))
    if base := base_text(results):
        lines.append(("Base model", (f"Before unlearning, mean over cells: {base}.",)))
    lines.append(("Notices", _some(warnings(results), "under Notices")))
    return [(label, sentences) for label, sentences in lines if sentences]


def links(results: Results) -> list[tuple[str, str]]:
    """The paper and its code, where the spec names addresses on the web."""
    paper = paper_of(results.spec)
    if paper is None:
        return []
    found = {"code": paper.code or ""}
    if paper.arxiv:
        found = {f"arXiv {paper.arxiv}": f"https://arxiv.org/abs/{paper.arxiv}", **found}
    return [(text, url) for text, url in found.items() if url.startswith(("https://", "http://"))]


def _asked(results: Results) -> str:
    cells, axes = len(results.order.cells), " × ".join(results.order.axes)
    methods = len(results.order.methods)
    size = [
        f"data {results.data.name or 'not read'}",
        f"profile {results.profile or 'default'}",
        f"{methods} methods" if methods != 1 else "one method",
        f"{cells} cells ({axes})" if cells > 1 else "one cell",
        seeds_text(results.spec),
    ]
    return f"{protocol_of(results.spec)} Here: {', '.join(size)}."


def _claims(count: int) -> str:
    return f"{count} claim" if count == 1 else f"{count} claims"


def _of(results: Results, verdict: str) -> Iterator[Verdict]:
    return (claim for claim in results.verdicts if claim.verdict == verdict)


def _claim(claim: Verdict) -> str:
    why = f"; {claim.reason}" if claim.reason else ""
    scale = " (at this scale)" if claim.scaled else ""
    return f"{claim.statement} ({claim.where}): ours {evidence(claim)}{scale}{why}."


def _reasons(claims: Iterable[Verdict]) -> list[tuple[str, int]]:
    """Why claims were not tested, those with the same reasons together."""
    return Counter(claim.reason for claim in claims if claim.verdict == UNTESTED).most_common()


def _some(sentences: Iterable[str], where: str) -> tuple[str, ...]:
    every = list(sentences)
    more = len(every) - MOST
    return tuple(every[:MOST] + [f"And {more} more {where}."] * (more > 0))
