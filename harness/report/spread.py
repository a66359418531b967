"""The mean of a metric over seeds and its spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from statistics import fmean, stdev

from attrs import frozen

UNBOUNDED = (-math.inf, math.inf)
Bounds = tuple[float, float]


@frozen
class Statistics:
    """Mean, sample standard deviation, n, and the 95 % Student interval of the mean.

    The interval of a metric that is bounded is cut off at its bounds, which leaves its coverage as
    it is: the true mean is within them. With one value there is no spread: ``std``, ``low`` and
    ``high`` are None; with none, no mean.
    """

    mean: float | None
    std: float | None
    n: int
    low: float | None
    high: float | None


def statistics(values: Sequence[float], bounds: Bounds = UNBOUNDED) -> Statistics:
    """Those of ``values``, one for each seed, none of which can be outside ``bounds``."""
    n = len(values)
    mean = fmean(values) if n else None
    if mean is None or n == 1:
        return Statistics(mean, None, n, None, None)
    return with_n(mean, stdev(values), n, bounds)


def with_n(mean: float, std: float, n: int, bounds: Bounds = UNBOUNDED) -> Statistics:
    """What ``n`` values with this mean and standard deviation say."""
    half = _student(n - 1) * std / math.sqrt(n)
    # The mean itself stays inside, whatever a plug-in declares.
    low, high = max(mean - half, min(bounds[0], mean)), min(mean + half, max(bounds[1], mean))
    return Statistics(mean, std, n, low, high)


@cache
def _student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t distribution."""
    from scipy.special import stdtrit  # scipy.stats takes ten times as long to import

    return float(stdtrit(freedom, 0.975))
