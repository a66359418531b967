"""The catalogue of components: what a spec can name, with its settings, source and revision.

A component is a function registered under a kind and a name together with a frozen settings class
and the traits of its kind. ``@component`` registers; importing a module is all that it takes. The
built-in ones are every module of the packages in ``KINDS``; outside packages name modules under the
entry-point group ``harness.<kind>``. A spec can only name what is registered: it never points at
code.
"""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar, cast, overload

import attrs

from harness.components.contracts import (
    TRAITS,
    AdversaryTraits,
    AugmentationTraits,
    CorruptionTraits,
    DatasetTraits,
    ForgetSetTraits,
    MethodTraits,
    MetricTraits,
    ModelTraits,
    PreparationTraits,
    Traits,
)
from harness.components.settings import NoSettings
from harness.components.sources import digest_of, failing_line, is_built_in
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
        "adversaries": "harness.training.adversaries",
        "preparations": "harness.methods.preparations",
        "methods": "harness.methods",
        "metrics": "harness.metrics",
    }
)

F = TypeVar("F", bound=Callable[..., Any])
T_co = TypeVar("T_co", bound=Traits, covariant=True)


@attrs.frozen
class Component(Generic[T_co]):
    """One registered component.

    ``revision`` is part of every stage key that uses the component and is raised when its numbers
    change. ``source`` says where the component comes from (paper, section, equation). ``traits``
    is what its kind declares (``harness.components.contracts``).
    """

    kind: str
    name: str
    settings: type
    function: Callable[..., Any]
    revision: int
    source: str
    traits: T_co

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (self.function.__doc__ or "").strip().split("\n", 1)[0]

    @property
    def built_in(self) -> bool:
        """Whether it comes with the harness, and not from a package of somebody else."""
        return is_built_in(self.function)

    @property
    def digest(self) -> str | None:
        """Of its source; None where that cannot be found."""
        return digest_of(self.function)


_catalogue: dict[str, dict[str, Component[Any]]] = {kind: {} for kind in KINDS}
_caches: list[Any] = []
broken: dict[tuple[str, str], str] = {}  # what is left out of the catalogue, and why


def remembered(size: int | None = None) -> Callable[[F], F]:
    """``lru_cache`` for what follows from components: forgotten when one is registered, which a
    notebook does again for each edit."""

    def decorate(function: F) -> F:
        cached = lru_cache(maxsize=size)(function)
        _caches.append(cached)
        return cast(F, cached)

    return decorate


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
        HarnessError: the kind or a trait does not exist, a trait is missing or of the wrong type,
            or the name is taken by another function.
    """
    if kind not in KINDS:
        raise HarnessError(
            f"component {name!r}: no kind {kind!r}{nearest(kind, KINDS)} "
            f"(kinds: {', '.join(KINDS)})"
        )
    declared = _traits(kind, name, traits)

    def register(function: F) -> F:
        taken = _catalogue[kind].get(name)
        if taken is not None and taken.function.__module__ != function.__module__:
            raise HarnessError(
                f"two components of kind {kind!r} are called {name!r}: "
                f"{taken.function.__module__} and {function.__module__}"
            )
        _catalogue[kind][name] = Component(
            kind, name, settings, function, revision, source, declared
        )
        for cached in _caches:
            cached.cache_clear()
        return function

    return register


def _traits(kind: str, name: str, given: Mapping[str, Any]) -> Traits:
    """The typed traits of a component. Raises HarnessError."""
    contract = TRAITS[kind]
    known = [field.name for field in attrs.fields(contract)]
    for trait in given:
        if trait not in known:
            raise HarnessError(
                f"{kind} component {name!r}: no trait {trait!r}{nearest(trait, known)} "
                f"(traits: {', '.join(sorted(known))})"
            )
    try:
        return contract(**given)
    except (TypeError, ValueError) as problem:
        raise HarnessError(f"{kind} component {name!r}: {problem.args[0]}") from None


@cache
def load(kind: str) -> Mapping[str, Component[Any]]:
    """All components of ``kind`` by name: built-in ones, then those of installed packages."""
    home = import_module(KINDS[kind])
    for module in pkgutil.iter_modules(getattr(home, "__path__", ())):
        if not module.name.startswith("_"):  # private modules import torch
            import_module(f"{home.__name__}.{module.name}")
    for entry in entry_points(group=f"harness.{kind}"):
        broken.pop((kind, entry.name), None)
        before = {of: set(known) for of, known in _catalogue.items()}
        try:
            import_module(entry.module)
        except (Exception, SystemExit) as problem:
            for of, known in _catalogue.items():
                for name in known.keys() - before[of]:
                    if known[name].function.__module__ not in sys.modules:  # half of a module
                        del known[name]
            package = f"the installed package {entry.dist.name if entry.dist else entry.value!r}"
            said = f"{type(problem).__name__}: {problem}" if str(problem) else repr(problem)
            broken[kind, entry.name] = (
                f"{package} offers {kind} {entry.name!r}, which cannot be imported and is left "
                f"out: {failing_line(problem, entry.value)}: {said}"
            )
    known = _catalogue[kind]
    for name in sorted(known):
        known[name] = known.pop(name)
    return MappingProxyType(known)


def left_out(kind: str) -> str:
    """What of ``kind`` is installed and cannot be used, to end a message with."""
    return "".join(f"; {why}" for (of, _), why in broken.items() if of == kind)


@overload
def get(kind: Literal["datasets"], name: str) -> Component[DatasetTraits]: ...
@overload
def get(kind: Literal["augmentations"], name: str) -> Component[AugmentationTraits]: ...
@overload
def get(kind: Literal["adversaries"], name: str) -> Component[AdversaryTraits]: ...
@overload
def get(kind: Literal["corruptions"], name: str) -> Component[CorruptionTraits]: ...
@overload
def get(kind: Literal["forget_sets"], name: str) -> Component[ForgetSetTraits]: ...
@overload
def get(kind: Literal["models"], name: str) -> Component[ModelTraits]: ...
@overload
def get(kind: Literal["preparations"], name: str) -> Component[PreparationTraits]: ...
@overload
def get(kind: Literal["methods"], name: str) -> Component[MethodTraits]: ...
@overload
def get(kind: Literal["metrics"], name: str) -> Component[MetricTraits]: ...
@overload
def get(kind: str, name: str) -> Component[Any]: ...


def get(kind: str, name: str) -> Component[Any]:
    """The component ``name`` of ``kind``.

    Raises:
        HarnessError: no such component is installed; the message lists those that are.
    """
    known = load(kind)
    if name not in known:
        raise HarnessError(
            f"no {kind} component {name!r} is installed{nearest(name, known)} "
            f"(installed: {', '.join(known)}){left_out(kind)}"
        )
    return known[name]
