"""What components ask for, and after which steps a model's weights are kept for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from harness.components import get, remembered
from harness.components.contracts import Request
from harness.errors import HarnessError
from harness.plan.cost import sizes_of
from harness.plan.stage import Cell
from harness.spec.blocks import Use
from harness.spec.requests import Prepare, Trained
from harness.training.length import length_of


@remembered(4096)
def requests(use: Use) -> tuple[Request, ...]:
    """What ``use`` asks for itself."""
    found: tuple[Request, ...] = get(use.kind, use.name).traits.requests(use.settings)
    return found


def of_base(request: Trained) -> bool:
    """Whether the model that is asked for is the base model itself."""
    return attrs.evolve(request, name="", snapshots=()) == Trained("", data="corrupted")


def of_base_below(uses: Iterable[Use]) -> Iterator[Trained]:
    """Every request for the base model that ``uses``, or what is prepared for them, make."""
    for request in (r for use in uses for r in requests(use)):
        if isinstance(request, Trained) and of_base(request):
            yield request
        elif isinstance(request, Prepare):
            yield from of_base_below([prepared(request)])


def prepared(request: Prepare) -> Use:
    """The component that ``request`` names."""
    return Use("preparations", request.name, request.settings)


def kept(cell: Cell, asked: Iterable[Trained]) -> tuple[int, ...]:
    """The steps of the training of ``cell`` after which weights are kept for ``asked``.

    Raises:
        HarnessError: snapshots are to be evenly spaced, and nobody knows how long it is.
    """
    return tuple(sorted({step for request in asked for step in _steps(cell, request)}))


def _steps(cell: Cell, request: Trained) -> Iterable[int]:
    if not isinstance(request.snapshots, int):
        return request.snapshots
    train, sizes = request.train or cell.train, sizes_of(cell)
    if train.steps is None and not sizes.train:
        raise HarnessError(
            f"{request.role!r} asks for {request.snapshots} snapshots of a training whose length "
            "is not known before it runs; say train.steps, or the steps of the snapshots"
        )
    total, count = length_of(train, sizes.train).total, request.snapshots
    return [max(1, round(total * i / count)) for i in range(1, count + 1)]
