"""The mean of a metric over seeds and its spread."""

from __future__ import annotations

import math
from functools import cache
from statistics import fmean, stdev


def statistics(values: list[float]) -> dict[str, float | int | None]:
    """Mean, sample standard deviation, n, and the 95 % Student interval of the mean.

    With one value there is no spread: ``std``, ``low`` and ``high`` are None; with none, no mean.
    """
    n = len(values)
    mean = fmean(values) if n else None
    if mean is None or n == 1:
        return {"mean": mean, "std": None, "n": n, "low": None, "high": None}
    spread = stdev(values)
    half = _student(n - 1) * spread / math.sqrt(n)
    return {"mean": mean, "std": spread, "n": n, "low": mean - half, "high": mean + half}


@cache
def _student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t distribution."""
    from scipy.special import stdtrit  # scipy.stats takes ten times as long to import

    return float(stdtrit(freedom, 0.975))
