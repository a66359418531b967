"""One row a method: every metric as a mean over cells, with its interval over seeds."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from harness.report.base import base_text
from harness.report.chosen import DAGGER, ORACLE, any_chosen, choices, marked
from harness.report.figures.parts import Averaged, averaged
from harness.report.numbers import Best, plain_number, with_interval
from harness.report.repetitions import kind_of_seeds, labels
from harness.report.results import MethodFacts, Results
from harness.report.tables import Table, headed, seen

BOLD = (
    "Bold: the best mean among the methods that see no more than the row's, "
    "with a number in every cell."
)


@frozen
class OfMethod:
    """A method's metrics over all cells, and what it was given: what it sees, and the test's own
    metrics where those chose its candidate."""

    method: str
    given: frozenset[str]
    seeds: int
    metrics: Mapping[str, Averaged]


def by_method(results: Results) -> list[OfMethod]:
    """The chosen candidates of each method: each seed's mean over cells, then over seeds."""
    chosen = choices(results)
    points = len(results.order.cells) * len(labels(results.spec))
    found = []
    for label in results.order.methods:
        rows = [row for row in results.rows if row.selected and row.method == label]
        if rows:
            metrics = {name: averaged(rows, name, points) for name in results.order.metrics}
            test = {ORACLE} if chosen.get(label) == ORACLE else set()
            sees = results.methods.get(label, MethodFacts()).sees
            seeds = len({row.seed for row in rows})
            found.append(OfMethod(label, frozenset(sees) | test, seeds, metrics))
    return found


def method_table(results: Results, facts: bool = True) -> Table:
    """Mean and interval of every metric, the best in bold; ``facts``: what a method was given."""
    methods, metrics = by_method(results), results.order.metrics
    best = {name: _best(results, name, methods) for name in metrics}
    chosen = choices(results) if any_chosen(results) else {}
    extra = (["chosen by"] * bool(chosen) + ["sees"]) if facts else []
    rows = []
    for of in methods:
        row = [marked(results, of.method), str(of.seeds)]
        row += [_cell(of.metrics[name], of.method in best[name]) for name in metrics]
        known = {"chosen by": chosen.get(of.method, ""), "sees": seen(results, of.method)}
        rows.append(row + [known[name] for name in extra])
    return ["method", "n", *(headed(results, name) for name in metrics), *extra], rows


def _cell(found: Averaged, best: bool) -> str:
    lacking = 0 < found.values < found.expected
    text = with_interval(found.over_seeds)
    text += f" ({found.values} of {found.expected})" if lacking else ""
    return Best(text) if best else text


def _best(results: Results, metric: str, methods: list[OfMethod]) -> set[str]:
    """The methods that no other is better than which was given no more; numbers as they are read.

    A method that has no such other, because it was given least, is not among them.
    """
    facts = results.metrics.get(metric)
    sign = {"higher": 1, "lower": -1}.get(facts.better if facts else "none")
    values = {
        of.method: sign * float(plain_number(found.over_seeds.mean))
        for of in methods
        if (found := of.metrics[metric]).values == found.expected and sign and found.values
    }
    rivals = {
        of.method: [o.method for o in methods if o is not of and o.given <= of.given]
        for of in methods
    }
    return {
        method
        for method, value in values.items()
        if (others := [values[rival] for rival in rivals[method] if rival in values])
        and value >= max(others)
    }


def method_caption(results: Results) -> str:
    """What the numbers of ``method_table`` are, and what stands out."""
    cells, seeds = len(results.order.cells), len(labels(results.spec))
    mean = "One cell"
    if cells > 1:
        axes = ", ".join(results.order.axes)
        mean = f"For each seed, the mean over {cells} cells ({axes}), all of equal weight"
    spread = f"then over n ≤ {seeds} {kind_of_seeds(results.spec)}, with the 95 % interval"
    parts = [
        f"{mean}; {spread if seeds > 1 else 'one seed, so no spread is known'}.",
        "Shares are in [0, 1]; arrows say which way is better; (k of n): numbers are missing.",
        BOLD,
        DAGGER if ORACLE in choices(results).values() else "",
        f"Base model: {base}." if (base := base_text(results)) else "",
    ]
    return " ".join(filter(None, parts))
