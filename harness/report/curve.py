"""A learning curve, as ``results.json`` holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from harness.report.record import Record


@frozen
class Curve(Record):
    """The mean loss of ``n`` trainings at equal shares of their steps, of which the longest had
    ``steps``: of base models in ``cell``, or of ``method`` over all cells."""

    method: str
    cell: Mapping[str, Any]
    n: int
    steps: int
    loss: tuple[float, ...]
