"""What the base model had before any unlearning, which drops and gains are measured from."""

from __future__ import annotations

from attrs import evolve

from harness.components import get
from harness.errors import HarnessError
from harness.report.figures.parts import averaged
from harness.report.numbers import with_interval
from harness.report.order import as_key
from harness.report.results import Results


def drops(results: Results) -> dict[str, str]:
    """Each measured name that is the base model's number minus the unlearned model's, with the
    name of that number. Nothing for components that are not installed."""
    found = {}
    for name in results.order.metrics:
        try:
            component = get("metrics", results.metrics[name].component)
        except (HarnessError, KeyError):
            continue
        if of := component.traits.drop_of.get(name):
            found[name] = of
    return found


def base_text(results: Results) -> str:
    """The base model's numbers, mean over cells and seeds; empty where no drop is measured."""
    known, unknown = {}, []
    for drop, of in drops(results).items():
        first = {
            (as_key(row.cell), row.seed): evolve(
                row, metrics={of: row.metrics[of] + row.metrics[drop]}
            )
            for row in reversed(results.rows)
            if row.selected and None not in (row.metrics.get(of), row.metrics.get(drop))
        }
        if first:
            known[of] = f"{of} {with_interval(averaged(first.values(), of, 0).over_seeds)}"
        else:
            unknown.append(of)
    missing = f"; not among the metrics: {', '.join(unknown)}" if unknown else ""
    return ", ".join(known.values()) + missing
