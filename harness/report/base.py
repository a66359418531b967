"""What the base model had before any unlearning, which drops and gains are measured from."""

from __future__ import annotations

from harness.components import get
from harness.errors import HarnessError
from harness.report.numbers import with_interval
from harness.report.order import as_key
from harness.report.pairs import bounds_of
from harness.report.record import Seed
from harness.report.results import Results
from harness.report.spread import statistics
from harness.report.weights import weighted_mean, weights_of


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
        first: dict[Seed, dict[str, float]] = {}
        for row in results.rows:
            here, lost = row.metrics.get(of), row.metrics.get(drop)
            if row.selected and here is not None and lost is not None:
                first.setdefault(row.seed, {}).setdefault(as_key(row.cell), here + lost)
        if first:
            each = [weighted_mean(cells, weights_of(results)) for cells in first.values()]
            known[of] = f"{of} {with_interval(statistics(each, bounds_of(results, of)))}"
        else:
            unknown.append(of)
    missing = f"; not measured: {', '.join(unknown)}" if unknown else ""
    return ", ".join(known.values()) + missing
