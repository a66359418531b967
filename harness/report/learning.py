"""The losses that trainings recorded, gathered from the store as learning curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.plan.plan import Group, Plan
from harness.report.curve import Curve
from harness.report.order import as_key
from harness.report.results import Values
from harness.store import Store
from harness.training.length import loss_every

MOST_POINTS = 60  # of a curve or a series in the results

Points = list[tuple[int, float]]  # steps and losses


def learning(plan: Plan, store: Store, chosen: Mapping[str, Group]) -> Iterator[Curve]:
    """Of the base models, one for each cell of theirs, and of each method over all cells.

    ``chosen`` has the group of each ``unlearn`` stage that was chosen. Records of older versions,
    and those that the store has not, have no losses.
    """
    bases: dict[str, list[Values]] = {}
    methods: dict[str, list[Points]] = {}
    for key, group in chosen.items():
        if base := dict(plan.stages[key].inputs).get("base"):
            bases.setdefault(base, []).append(group.cell.point)
        if store.has("unlearn", key):
            fits = store.record("unlearn", key).get("fits", ())
            methods.setdefault(group.method.label, []).append(_joined(fits))
    cells: dict[str, list[Points]] = {}
    shared: dict[str, Values] = {}
    for key, points in bases.items():
        cell = {name: value for name, value in points[0].items() if _same(points, name)}
        if store.has("train", key):
            cells.setdefault(as_key(cell), []).append(_joined([store.record("train", key)["fit"]]))
            shared[as_key(cell)] = cell
    for name, found in cells.items():
        yield from _mean("", shared[name], found)
    for label, found in methods.items():
        yield from _mean(label, {}, found)


def _same(points: Sequence[Values], name: str) -> bool:
    return all(point[name] == points[0][name] for point in points)


def _joined(fits: Sequence[Mapping[str, Any]]) -> Points:
    """The losses of fits that followed one another."""
    points: Points = []
    done = 0
    for fit in fits:
        every, steps = loss_every(fit["steps"]), fit["steps"]
        points += [(done + min(i * every, steps), x) for i, x in enumerate(fit["losses"], 1)]
        done += steps
    return points


def _mean(label: str, cell: Values, found: Sequence[Points]) -> Iterator[Curve]:
    """The mean at equal shares of the steps, which differ where the sizes of sets do."""
    import numpy

    trainings = [points for points in found if points]
    if trainings:
        count = min(MOST_POINTS, max(map(len, trainings)))
        shares = [(i + 1) / count for i in range(count)]
        losses = [
            numpy.interp(shares, [step / points[-1][0] for step, _ in points], values)
            for points in trainings
            for values in [[loss for _, loss in points]]
        ]
        mean = tuple(round(float(x), 6) for x in numpy.mean(losses, axis=0))
        steps = max(points[-1][0] for points in trainings)
        yield Curve(method=label, cell=cell, n=len(trainings), steps=steps, loss=mean)
