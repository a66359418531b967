"""Which methods reach a reference in what is to be removed, and which pay with the model for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.components import load
from harness.report.numbers import plain_number, with_interval
from harness.report.pairs import means, paired, values
from harness.report.results import MethodFacts, MetricFacts, Results
from harness.report.spread import statistics
from harness.report.verdict import Verdict
from harness.report.weights import weights_of
from harness.spec.claims import EVERY

MOST = 3  # claims on every method that a report begins with
TOLERATED = 0.01  # of accuracy: what a method may lose beyond the reference without a notice
# What a verdict on "no method reaches it" and one on "every method reaches it" say of a method.
SAID = {
    "does_not_remove": {"reproduced": "no", "deviates": "yes"},
    "removes": {"reproduced": "yes", "deviates": "no"},
}
WORDS = {"yes": "yes for", "no": "no for", "open": "open for", "no verdict": "too few seeds for"}


def reached(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """A sentence for each of the first claims on every method: which of them reach the reference,
    each with its difference from it."""
    found = [v for v in verdicts if v.claim in SAID and v.method == EVERY and v.pairs]
    for verdict in found[:MOST]:
        by_word: dict[str, list[str]] = {}
        for pair in verdict.pairs:
            word = SAID[verdict.claim].get(pair.verdict, pair.verdict)
            by_word.setdefault(word, []).append(f"{pair.method} {with_interval(pair.difference)}")
        told = [f"{WORDS[word]} {', '.join(by_word[word])}" for word in WORDS if word in by_word]
        _, _, asked = verdict.statement.partition(" method ")
        against = verdict.pairs[0].against
        yield (
            f"Whether a method {asked} (its difference from {against} with the 95 % interval): "
            f"{'; '.join(told)}."
        )


def damaged(results: Results) -> Iterator[str]:
    """The methods that move towards training again in a metric that has a better direction, and
    clearly lose more accuracy than it: all said by paired intervals."""
    labels = results.order.methods
    untouched = next((m for m in labels if _sees(results, m) == {"original weights"}), None)
    again = next((m for m in labels if _sees(results, m) == {"retain"}), None)
    if untouched is None or again is None:
        return
    accuracies = _accuracies(results)
    attacks = [m for m in results.metrics if m not in accuracies]
    worse = [m for m in attacks if _clearly_worse(results, m, untouched, again)]
    for method in labels:
        lost = next((a for a in accuracies if _loses(results, a, method, again)), None)
        moved = [m for m in worse if _clearly_worse(results, m, untouched, method)]
        if lost is None or not moved or not _sees(results, method) & {"original weights"}:
            continue
        ways = ", ".join(
            f"{m} from {_mean(results, m, untouched)} to {_mean(results, m, method)} "
            f"({again}: {_mean(results, m, again)})"
            for m in moved
        )
        gap = with_interval(paired(results, lost, method, again))
        yield (
            f"{method} moves {ways}, but {lost} with it, by {gap} against {again}: a score that "
            "vanishes with the accuracy is not unlearning."
        )


def _sees(results: Results, label: str) -> set[str]:
    return {*results.methods.get(label, MethodFacts()).sees}


def _accuracies(results: Results) -> list[str]:
    """What drops are measured of, as the installed metrics say, where more of it is better."""
    of = {name for metric in load("metrics").values() for name in metric.traits.drop_of.values()}
    return [m for m, facts in results.metrics.items() if m in of and facts.better == "higher"]


def _clearly_worse(results: Results, metric: str, one: str, other: str) -> bool:
    found = paired(results, metric, one, other)
    if found.low is None or found.high is None:
        return False
    better = results.metrics.get(metric, MetricFacts()).better
    return {"lower": found.low > 0, "higher": found.high < 0}.get(better, False)


def _loses(results: Results, accuracy: str, method: str, against: str) -> bool:
    found = paired(results, accuracy, method, against)
    return found.high is not None and found.high < -TOLERATED


def _mean(results: Results, metric: str, method: str) -> str:
    each = means(values(results, metric, method), weights_of(results))
    return plain_number(statistics([*each.values()]).mean)
