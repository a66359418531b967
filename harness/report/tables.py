"""The tables of a report, through tabulate."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable

from tabulate import tabulate

from harness.report.base import base_text
from harness.report.best import BOLD, best
from harness.report.candidates import candidates
from harness.report.chosen import any_chosen, choices, dagger, marked
from harness.report.coverage import beside_budget
from harness.report.html_table import html_table
from harness.report.numbers import NOTHING, Best, number, plain_number, with_interval
from harness.report.per_method import per_method
from harness.report.repetitions import kind_of_seeds
from harness.report.results import MethodFacts, MetricFacts, Results, Values
from harness.report.spread import Statistics
from harness.report.verdict import Verdict
from harness.report.weights import weights_text

MOST_NUMBERS = 2000
PAIRS = 4  # of a claim, or chosen candidates of a method, that a table shows
Table = tuple[list[str], list[list[str]]]


def caption(results: Results) -> str:
    """What the numbers of the main table are."""
    most = max((len(summary.seeds) for summary in results.summaries), default=0)
    if most < 2:
        return "One seed: no spread is known. Shares are in [0, 1]; arrows say which way is better."
    return (
        f"Mean ± sample standard deviation over n ≤ {most} {kind_of_seeds(results.spec)}; "
        "shares are in [0, 1]; arrows say which way is better."
    )


def closing_table(results: Results, width: int) -> str:
    """One row a method: the mean of every metric over cells and seeds with its interval, of as many
    of the first metrics as fit a terminal of ``width`` columns."""
    headers, rows = method_table(results)
    metrics = len(results.order.metrics)
    shown, text = 0, ""
    for shown in range(metrics, 0, -1):
        keep = len(headers) - metrics + shown
        text = for_terminal(headers[:keep], [row[:keep] for row in rows])
        if len(text.split("\n", 1)[0]) <= width:
            break
    more = f"{shown} of {metrics} metrics; the report has all of them, and every cell."
    notes = [averaged(results), more, dagger(results)]
    return "\n\n".join([text, "\n".join(textwrap.fill(note, width) for note in notes if note)])


def method_table(results: Results, facts: bool = False) -> Table:
    """One row a method: the mean of every metric over cells and seeds with its interval, the best
    marked; ``facts``: what it was given."""
    means, every = per_method(results), len(results.order.cells)
    metrics, chosen = results.order.metrics, choices(results) if any_chosen(results) else {}
    marks = {name: best(results, name, means) for name in metrics}
    noted = {(row.method, name) for row in results.rows for name in row.notes}
    rows = []
    for mean in means:
        part = f" ({mean.cells} of {every} cells)" if mean.cells < every else ""
        n = len(mean.seeds)
        row = [marked(results, mean.method) + part, str(n)]
        for name in metrics:
            found = mean.metrics.get(name)
            text = "diverged" if mean.diverged == n else _with_n(found, with_interval, n)
            if found is not None and not found.n and (mean.method, name) not in noted:
                text = "not in all cells"
            row.append(Best(text) if mean.method in marks[name] else text)
        given = [chosen.get(mean.method, NOTHING)] * bool(chosen) + [seen(results, mean.method)]
        rows.append(row + given * facts)
    extra = ["chosen by"] * bool(chosen) + ["sees"]
    return ["method", "n", *(headed(results, name) for name in metrics), *extra * facts], rows


def averaged(results: Results) -> str:
    """What the means of a table with one row a method run over."""
    cells, axes = len(results.order.cells), ", ".join(results.order.axes)
    over = f"{cells} cells ({axes}), {weights_text(results)}, and over " if cells > 1 else ""
    kind = kind_of_seeds(results.spec)
    most = max((len(summary.seeds) for summary in results.summaries), default=0)
    return f"Mean over {over}n ≤ {most} {kind}, with the 95 % interval where n is at least 2."


def method_caption(results: Results) -> str:
    """What the numbers of ``method_table`` are, and what stands out."""
    base = base_text(results)
    parts = [
        averaged(results),
        "Shares are in [0, 1]; arrows say which way is better.",
        BOLD,
        dagger(results),
        beside_budget(results),
        f"Base model: {base}." if base else "",
    ]
    return " ".join(filter(None, parts))


def for_terminal(headers: list[str], rows: list[list[str]]) -> str:
    """A table without any markup."""
    return str(tabulate(rows, headers=headers, disable_numparse=True))


def as_text(table: Table, form: str) -> str:
    """One table as ``github`` or ``html``; what would be markup there is escaped."""
    headers, rows = table
    if form == "html":
        return html_table(headers, rows)
    lines = [list(map(_marked, row)) for row in rows]
    titles = list(map(plain, headers))
    return str(tabulate(lines, headers=titles, tablefmt="github", disable_numparse=True))


def _marked(cell: str) -> str:
    return f"**{plain(cell)}**" if isinstance(cell, Best) else plain(cell)


def plain(text: str) -> str:
    """``text`` on one line, shown by GitHub as it is."""
    one_line = " ".join(text.split())
    escaped = re.sub(r"([\\`*\[\]<>|&~])", r"\\\1", one_line)
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", escaped)


def main_table(results: Results, facts: bool = True) -> Table:
    """One row for each method and cell: mean and standard deviation of every metric; ``facts``:
    what a method sees, and what chose its candidate."""
    return _summary_table(results, number, facts)


def cells_table(results: Results) -> Table:
    """The same with 95 % intervals, or with means alone where there are too many numbers."""
    return _summary_table(results, _mean if many_cells(results) else with_interval, facts=False)


def many_cells(results: Results) -> bool:
    """Whether methods, cells and metrics make so many numbers that a report shows means alone."""
    return len(results.summaries) * len(results.order.metrics) > MOST_NUMBERS


def _mean(found: Statistics | None) -> str:
    return plain_number(None if found is None else found.mean)


def _summary_table(
    results: Results, shown: Callable[[Statistics | None], str], facts: bool
) -> Table:
    axes, metrics = results.order.axes, results.order.metrics
    chosen = choices(results)
    extra = (["chosen by"] if any_chosen(results) else []) + ["sees"] if facts else []
    rows = []
    for summary in results.summaries:
        seeds = len(summary.seeds)
        row = [*(str(summary.cell.get(axis, NOTHING)) for axis in axes), summary.method]
        known = {
            "chosen by": chosen.get(summary.method, NOTHING),
            "sees": seen(results, summary.method),
        }
        row += [*(known[name] for name in extra), str(seeds)]
        lost = "diverged" if summary.diverged == seeds else ""
        row += [lost or _with_n(summary.metrics.get(metric), shown, seeds) for metric in metrics]
        rows.append(row)
    headers = [*axes, "method", *extra, "n"]
    return [*headers, *(headed(results, metric) for metric in metrics)], rows


def seen(results: Results, label: str) -> str:
    """What a method may see, in words."""
    return ", ".join(results.methods.get(label, MethodFacts()).sees) or NOTHING


def headed(results: Results, metric: str) -> str:
    """The name of a metric with an arrow to what is better."""
    better = results.metrics.get(metric, MetricFacts()).better
    return metric + {"higher": " ↑", "lower": " ↓"}.get(better, "")


def _with_n(found: Statistics | None, shown: Callable[[Statistics | None], str], seeds: int) -> str:
    """The number, and over how many seeds where that is not all of the row's."""
    text = shown(found)
    if found is None or found.n == seeds:
        return text
    return f"{text} (n={found.n})" if found.n else "not finite"


def methods_table(results: Results) -> Table:
    """What each method is and may see: methods that see more are not comparable."""
    chosen = choices(results) if any_chosen(results) else None
    rows = []
    for label in results.order.methods:
        facts = results.methods.get(label, MethodFacts())
        by = [chosen.get(label, NOTHING)] if chosen is not None else []
        sees = seen(results, label)
        rows.append([label, facts.component, *by, sees, facts.summary, facts.source])
    by = ["chosen by"] if chosen is not None else []
    return ["method", "component", *by, "sees", "what it does", "source"], rows


def metrics_table(results: Results) -> Table:
    """What each measured name means."""
    rows = []
    for name in results.order.metrics:
        facts = results.metrics.get(name)
        rows.append([name, *((facts.better, facts.unit, facts.doc) if facts else ("", "", ""))])
    return ["metric", "better", "unit", "meaning"], rows


def claims_table(results: Results) -> Table:
    """What the paper claims beside our numbers."""
    return verdicts_table(results.verdicts)


def verdicts_table(verdicts: Iterable[Verdict]) -> Table:
    """Each claim in words, our numbers with their intervals, and what they say of it."""
    rows = [
        [
            verdict.statement,
            verdict.where,
            evidence(verdict),
            verdict.said,
            verdict.reason or NOTHING,
        ]
        for verdict in verdicts
    ]
    return ["claim", "where", "ours, with its 95 % interval", "verdict", "why"], rows


def evidence(verdict: Verdict) -> str:
    """Our number, or ``ssd − retrain: 0.103 [0.051, 0.155]`` for some of the pairs that make the
    verdict."""
    if verdict.ours:
        return with_interval(verdict.ours)
    deciding = [pair for pair in verdict.pairs if pair.verdict == verdict.verdict]
    said = [f"{p.method} − {p.against}: {with_interval(p.difference)}" for p in deciding[:PAIRS]]
    left_out = len(verdict.pairs) - len(said)
    return "; ".join([*said, *([f"and {left_out} more"] if left_out else [])]) or NOTHING


def chosen_table(results: Results) -> Table:
    """The rule that chose among the candidates of each swept method, and what it chose."""
    tried = candidates(results, by_cell=False)
    rows = []
    for method in (method for method in results.spec["methods"] if method["select"]):
        own = sorted((t for t in tried if t.method == method["label"]), key=lambda t: -t.selected)
        chosen = [f"{_values(t.candidate)} ({t.selected})" for t in own if t.selected]
        more = [f"and {len(chosen) - PAIRS} others"] if len(chosen) > PAIRS else []
        rule = [f"{k} {_values(v) if k == 'at' else v}" for k, v in method["select"].items() if v]
        rows.append([method["label"], *rule, "; ".join([*chosen[:PAIRS], *more]) or NOTHING])
    return ["method", "rule", "chosen (in so many cells and seeds)"], rows


def _values(candidate: Values) -> str:
    return ", ".join(f"{name}={value}" for name, value in candidate.items())


def candidates_table(results: Results, by_cell: bool = True) -> Table:
    """Every candidate of the methods that were swept: its chosen share and its metrics' means.

    Without ``by_cell`` the means run over all cells and seeds, and no spread is shown.
    """
    axes = results.order.axes if by_cell else ()
    metrics = results.order.metrics
    rows = [
        [
            *(str(tried.cell.get(axis, NOTHING)) for axis in axes),
            tried.method,
            _values(tried.candidate),
            f"{tried.selected} of {tried.rows}"
            + (f", {tried.diverged} diverged" if tried.diverged else ""),
            *(
                number(found) if by_cell else plain_number(found.mean)
                for metric in metrics
                for found in [tried.metrics[metric]]
            ),
        ]
        for tried in candidates(results, by_cell)
    ]
    headers = [*axes, "method", "candidate", "chosen"]
    return [*headers, *(headed(results, metric) for metric in metrics)], rows
