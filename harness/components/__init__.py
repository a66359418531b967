"""The registry of components: what a spec can name, with its settings, source and revision.

A component is a function registered under a kind and a name together with a frozen settings class.
``@component`` registers; importing a module is all that it takes. The built-in ones are every
module of the packages in ``KINDS``; outside packages name modules under the entry-point group
``harness.<kind>``. A spec can only name what is registered: it never points at code.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any, TypeVar

import attrs

from harness.errors import HarnessError, nearest

# kind -> package whose modules hold the built-in components
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "datasets": "harness.data.datasets",
        "augmentations": "harness.data.augmentations",
        "corruptions": "harness.corruptions",
        "forget_sets": "harness.data.forget_sets",
        "models": "harness.models",
        "optimizers": "harness.training.optimizers",
        "schedules": "harness.training.schedules",
        "preparations": "harness.methods.preparations",
        "methods": "harness.methods",
        "metrics": "harness.metrics",
    }
)

_registry: dict[str, dict[str, Component]] = {kind: {} for kind in KINDS}

F = TypeVar("F", bound=Callable[..., Any])


@attrs.frozen
class Component:
    """One registered component.

    ``revision`` is part of every stage key that uses the component and is raised when its numbers
    change. ``source`` says where the component comes from (paper, section, equation). ``traits``
    holds what only its kind has; ``CONTRIBUTING.md`` lists them.
    """

    kind: str
    name: str
    settings: type
    function: Callable[..., Any]
    revision: int
    source: str
    traits: Mapping[str, Any]

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (self.function.__doc__ or "").strip().split("\n", 1)[0]


def setting(
    default: Any = attrs.NOTHING,
    *,
    doc: str,
    unit: str = "",
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
    pattern: str | None = None,
) -> Any:
    """Declare one field of a settings class or spec block.

    Args:
        default: value when the spec leaves the field out; required without one.
        doc: what the field means, shown by editors, ``harness describe`` and the reports.
        unit: "steps", "samples", "" for dimensionless.
        gt, ge, lt, le: bounds of a number. pattern: regular expression of a string.

    A choice between words is a ``Literal`` type, a nested choice between components is annotated
    with ``harness.spec.blocks.Use`` through ``use(kind)``.
    """
    bounds = {"gt": gt, "ge": ge, "lt": lt, "le": le}
    metadata = {
        "doc": doc,
        "unit": unit,
        "bounds": {name: bound for name, bound in bounds.items() if bound is not None},
        "pattern": pattern,
    }
    return attrs.field(default=default, metadata=metadata, kw_only=True)


@attrs.frozen
class NoSettings:
    """The settings of a component that has none."""


def component(
    kind: str,
    name: str,
    *,
    settings: type = NoSettings,
    revision: int = 1,
    source: str,
    **traits: Any,
) -> Callable[[F], F]:
    """Register the decorated function as the component ``name`` of ``kind``.

    Raises:
        HarnessError: the name is taken by another function.
    """

    def register(function: F) -> F:
        taken = _registry[kind].get(name)
        if taken is not None and taken.function.__module__ != function.__module__:
            raise HarnessError(
                f"two components of kind {kind!r} are called {name!r}: "
                f"{taken.function.__module__} and {function.__module__}"
            )
        _registry[kind][name] = Component(
            kind, name, settings, function, revision, source, MappingProxyType(traits)
        )
        return function

    return register


@cache
def load(kind: str) -> Mapping[str, Component]:
    """All components of ``kind`` by name: built-in ones, then those of installed packages."""
    home = import_module(KINDS[kind])
    for module in pkgutil.iter_modules(getattr(home, "__path__", ())):
        if not module.name.startswith("_"):  # private modules import torch
            import_module(f"{home.__name__}.{module.name}")
    for entry in entry_points(group=f"harness.{kind}"):
        try:
            import_module(entry.module)
        except HarnessError:
            raise
        except Exception as problem:
            raise HarnessError(
                f"the installed package {entry.dist.name if entry.dist else entry.value!r} "
                f"offers {kind} {entry.name!r}, which cannot be imported: {problem}"
            ) from problem
    return MappingProxyType(dict(sorted(_registry[kind].items())))


def get(kind: str, name: str) -> Component:
    """The component ``name`` of ``kind``.

    Raises:
        HarnessError: no such component is installed; the message lists those that are.
    """
    known = load(kind)
    if name not in known:
        raise HarnessError(
            f"no {kind} component {name!r} is installed{nearest(name, known)} "
            f"(installed: {', '.join(known)})"
        )
    return known[name]
