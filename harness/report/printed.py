"""The tables of a report for a terminal, a paper or a spreadsheet."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from harness.errors import UsageError, nearest
from harness.report.html_table import html_table
from harness.report.latex import latex_table, latex_text_table
from harness.report.results import Results
from harness.report.spreadsheet import csv_text, grouped_csv
from harness.report.tables import (
    Table,
    as_text,
    caption,
    claims_table,
    main_table,
    method_caption,
    method_table,
)

FORMS = ("github", "latex", "html")
CLAIMS = "The paper's numbers beside ours."


def narrowed(results: Results, names: Sequence[str]) -> Results:
    """``results`` with these metrics alone, in this order, and what is claimed of them.

    Raises:
        UsageError: one of them is not measured; the message lists those that are.
    """
    known = results.order.metrics
    for name in names:
        if name not in known:
            raise UsageError(
                f"--metrics: {name!r} is not measured in these results{nearest(name, known)} "
                f"(measured: {', '.join(known)})"
            )
    claims = tuple(claim for claim in results.verdicts if claim.metric in names)
    order = evolve(results.order, metrics=tuple(dict.fromkeys(names)))
    return evolve(results, order=order, verdicts=claims)


def render(results: Results, form: str, by: str | None = None) -> str:
    """The tables of ``results`` as ``github``, ``latex``, ``html`` or ``csv``, with one row for
    each method or, ``by`` cell, for each method in each cell; and the claims where there are any.

    ``csv`` is one line for each number of these; without ``by``, every row as it was measured.
    """
    if form == "csv":
        return grouped_csv(results, by) if by else csv_text(results)
    if by != "cell":
        table, text = method_table(results, facts=form != "latex"), method_caption(results)
    else:
        table, text = main_table(results, facts=form != "latex"), caption(results)
    parts = [captioned(table, text, form, len(table[0]) - len(results.order.metrics))]
    if results.verdicts:
        parts.append(captioned(claims_table(results), CLAIMS, form))
    return "\n\n".join(parts)


def captioned(table: Table, text: str, form: str, lead: int = 0) -> str:
    """The table under its caption; without ``lead`` it is one of sentences."""
    if form == "html":
        return html_table(*table, text)
    if form == "latex":
        return latex_table(table, lead, text) if lead else latex_text_table(table, text)
    return f"{text}\n\n{as_text(table, 'github')}"
