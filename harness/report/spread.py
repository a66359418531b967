"""The mean of a metric over seeds and its spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from statistics import fmean, stdev

from attrs import frozen


@frozen
class Statistics:
    """Mean, sample standard deviation, n, and the 95 % Student interval of the mean.

    With one value there is no spread: ``std``, ``low`` and ``high`` are None; with none, no mean.
    """

    mean: float | None
    std: float | None
    n: int
    low: float | None
    high: float | None


def statistics(values: Sequence[float]) -> Statistics:
    """Those of ``values``, one for each seed."""
    n = len(values)
    mean = fmean(values) if n else None
    if mean is None or n == 1:
        return Statistics(mean, None, n, None, None)
    spread = stdev(values)
    half = _student(n - 1) * spread / math.sqrt(n)
    return Statistics(mean, spread, n, mean - half, mean + half)


@cache
def _student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t distribution."""
    from scipy.special import stdtrit  # scipy.stats takes ten times as long to import

    return float(stdtrit(freedom, 0.975))
