"""What our numbers say of a claim, as ``results.json`` holds it."""

from __future__ import annotations

from attrs import frozen

from harness.report.record import Record, entry
from harness.report.spread import Statistics

VERDICTS = ("reproduced", "deviates", "open", "no verdict", "not comparable")


@frozen
class Pair(Record):
    """A method minus another, or one value of an axis minus another, from the seeds that both have,
    and what that says of the claim."""

    method: str
    against: str
    difference: Statistics
    verdict: str


@frozen
class Verdict(Record):
    """A claim of the paper and what our numbers say of it.

    ``verdict`` is one of ``VERDICTS``, and ``reasons`` say why. An order or direction that is
    ``scaled`` is judged under another protocol than the paper's, and holds there only.
    ``seeds_needed`` would settle an ``open`` one; None where not even 1,000 would. ``ours`` is our
    number in the claim's ``unit``, beside the paper's ``value``, or Kendall's tau-b where two
    metrics are to order values alike; ``pairs`` are the differences, in the metric's own unit, that
    orders and directions are judged by, between values of ``axis`` where there is one. ``averaged``
    are the axes that they run over.
    """

    claim: str
    statement: str
    metric: str
    where: str
    verdict: str
    reasons: tuple[str, ...]
    averaged: tuple[str, ...]
    scaled: bool = False
    seeds_needed: int | None = None
    method: str = ""
    value: float | None = None
    unit: str = ""
    tolerance: float = 0.0
    ours: Statistics | None = None
    pairs: tuple[Pair, ...] = ()
    axis: str = entry("", sparse=True)

    @property
    def difference(self) -> float | None:
        """Ours minus the paper's number, where the two may be compared."""
        ours = None if self.verdict == "not comparable" or self.ours is None else self.ours.mean
        return None if ours is None or self.value is None else ours - self.value

    @property
    def reason(self) -> str:
        """All reasons in one line."""
        return "; ".join(self.reasons)

    @property
    def said(self) -> str:
        """The verdict, with ``at this scale`` where it is no verdict on the paper."""
        return f"{self.verdict} at this scale" if self.scaled else self.verdict
