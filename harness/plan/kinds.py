"""What a kind of stage declares. Each module of ``harness.stages`` that has a ``KIND`` is one."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from attrs import field, frozen

from harness.components import get
from harness.errors import HarnessError
from harness.plan.stage import Cell, Stage, named_in
from harness.spec.blocks import Use
from harness.store import Store

HOME = "harness.stages"


@frozen
class Samples:
    """Samples that a stage passes forward and backward; a backward pass costs two forward ones."""

    forward: float = 0
    backward: float = 0

    @property
    def work(self) -> float:
        """Forward equivalents."""
        return self.forward + 2 * self.backward


Tensors = Mapping[str, Any]  # torch is not imported for their sake
Faults = Callable[[Stage, Mapping[str, Any], Tensors], Iterable[str]]
Hashes = Callable[[Cell, tuple[Use, ...], Mapping[str, Any]], tuple[Any, ...]]


@frozen
class Kind:
    """A kind of stage.

    ``rank`` orders kinds in tables. ``revision`` is raised when the numbers of code that no
    component owns change. ``roles`` maps the first word of an input's role to the kind that it is
    of. ``hashes(cell, uses, detail)`` gives what a key hashes beside the inputs' keys, and
    ``draws`` what random numbers depend on, where that is less. ``leaves``: ``tensors`` beside the
    record, or ``numbers`` only, which makes it a target of a run. ``record`` is the JSON Schema of
    the record's own fields. ``samples(stage)`` estimates the cost. ``published``: whole, whole
    where it was chosen, its record only, or nothing. ``run`` computes it: (stage, world, watch,
    slot) to record and tensors. ``weights``: its tensors are those of a model. ``faults(stage,
    record, tensors)`` says what tensors that were made elsewhere cannot be of that stage.
    ``together(stage)``: computing it together with stages of other seeds can be faster.
    """

    name: str
    rank: int
    revision: int
    roles: Mapping[str, str]
    hashes: Hashes
    leaves: Literal["tensors", "numbers"]
    record: Mapping[str, Any]
    samples: Callable[[Stage], Samples]
    published: Literal["whole", "chosen", "record", "nothing"]
    run: Callable[[Stage, Any, Any, Any], tuple[dict[str, Any], Mapping[str, Any] | None]]
    draws: Hashes = field()
    weights: bool = False
    faults: Faults = lambda stage, record, tensors: ()
    together: Callable[[Stage], bool] = lambda stage: False

    @draws.default
    def _same(self) -> Hashes:
        return self.hashes

    @property
    def published_whole(self) -> bool:
        """Whether its tensors are published, too."""
        return self.published in ("whole", "chosen")

    @property
    def tensors(self) -> bool:
        """Whether an artifact of it has tensors."""
        return self.leaves == "tensors"


@cache
def kinds() -> Mapping[str, Kind]:
    """Every kind by name, in the order of their ranks."""
    home = import_module(HOME)
    modules = [import_module(f"{HOME}.{m.name}") for m in pkgutil.iter_modules(home.__path__)]
    found: list[Kind] = [module.KIND for module in modules if hasattr(module, "KIND")]
    return MappingProxyType({kind.name: kind for kind in sorted(found, key=lambda k: k.rank)})


def store_at(folder: Path) -> Store:
    """The store in ``folder``, whose records have to be what their kinds say."""
    return Store(folder, {name: kind.record for name, kind in kinds().items()})


def kind_of(stage: Stage) -> Kind:
    """The kind of ``stage``."""
    return kinds()[stage.kind]


def components_of(stage: Stage) -> frozenset[tuple[str, str]]:
    """Kind and name of every component that the key of ``stage`` hashes, beside its inputs."""
    parts = kind_of(stage).hashes(stage.cell, stage.uses, stage.detail)
    named = (named_in(tuple(part) if isinstance(part, list) else part) for part in parts)
    return frozenset().union(*named)


def sources_of(stage: Stage) -> dict[str, str]:
    """``methods ssd`` to the digest of its source, of every built-in component that the key of
    ``stage`` hashes by its revision alone."""
    found = {f"{kind} {name}": get(kind, name) for kind, name in sorted(components_of(stage))}
    return {name: c.digest[:12] for name, c in found.items() if c.built_in and c.digest}


def source_kind(stage: Stage, role: str) -> str:
    """The name of the kind that the input of ``stage`` in ``role`` is of."""
    word = role.partition(":")[0].partition("+")[0]  # ``retrained+1000:3`` are retrained ones
    roles = kind_of(stage).roles
    if word not in roles:
        raise HarnessError(
            f"{stage.kind} stages have no input {role!r} (roles: {', '.join(roles)})"
        )
    return roles[word]
