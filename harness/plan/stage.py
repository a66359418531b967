"""A cell, a stage, and the texts that address them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
from attrs import frozen

from harness.components import get, remembered
from harness.spec.blocks import Data, Train, Unlearning, Use
from harness.spec.seeds import Seeds
from harness.spec.structure import unstructure_settings


@frozen(eq=False)
class Cell:
    """One point of a spec's axes and one repetition of it: its blocks, sweeps resolved."""

    seeds: Seeds
    data: Data
    corruption: Use
    model: Use
    train: Train
    forget: Use
    point: Mapping[str, Any]
    unlearning: Unlearning | None = None

    @property
    def seed(self) -> int | str:
        """What tables call the repetition."""
        return self.seeds.label

    @property
    def undefended(self) -> Cell:
        """The same cell as whoever corrupts its data knows it."""
        data = attrs.evolve(self.data, defences=())
        return attrs.evolve(self, data=data, train=attrs.evolve(self.train, adversary=None))


@frozen(eq=False, slots=True)
class Stage:
    """One unit of work.

    ``key`` addresses it, and ``draws`` seeds its random numbers. ``uses`` are its components,
    ``inputs`` maps a role to the key of another stage, and ``detail`` has what its kind adds, as
    plain values.
    """

    kind: str
    key: str
    draws: str
    uses: tuple[Use, ...]
    inputs: tuple[tuple[str, str], ...]
    cell: Cell
    detail: Mapping[str, Any]

    def input(self, role: str) -> str:
        """The key of the input in ``role``."""
        return dict(self.inputs)[role]


def address(*parts: str) -> str:
    """SHA-256 over ``parts``, as 64 hex digits."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def canonical(value: Any) -> str:
    """JSON with sorted keys: equal text for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def text(part: Any, *, revisions: bool = True) -> str:
    """What a key hashes for ``part``: a string is itself, a list the texts of its items, and a
    resolved block or ``Use`` its identity."""
    if isinstance(part, str):
        return part
    if isinstance(part, list):
        return _listed(tuple(part), revisions)
    return identity(part, revisions)


@remembered(4096)
def _listed(parts: tuple[Any, ...], revisions: bool) -> str:
    return canonical([text(part, revisions=revisions) for part in parts])


@remembered(65536)
def identity(block: Any, revisions: bool = True) -> str:
    """The canonical text of a resolved block or ``Use``, with component revisions or without."""
    return canonical(_identified(block, revisions))


def _silent(settings: Any) -> set[str]:
    """The settings that were added later and have their default."""
    fields = attrs.fields(type(settings))
    later = (field for field in fields if field.metadata.get("later"))
    return {field.name for field in later if getattr(settings, field.name) == field.default}


def _revision(use: Use) -> list[int | str]:
    """The revision of a component. That of somebody else's is also what its source says, because
    nobody raises a revision while they try things out."""
    component = get(use.kind, use.name)
    digest = None if component.built_in else component.digest
    return [component.revision, *([] if digest is None else [digest])]


def _identified(value: Any, revisions: bool) -> Any:
    if isinstance(value, Use):
        settings = {
            name: _identified(getattr(value.settings, name), revisions)
            for name in unstructure_settings(value.settings)
            if name not in _silent(value.settings)
        }
        revision = _revision(value) if revisions else []
        return [value.kind, value.name, *revision, settings]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_identified(item, revisions) for item in value]
    if hasattr(value, "__attrs_attrs__"):
        # A component that is not there has no part in the identity.
        return {
            a.name: _identified(getattr(value, a.name), revisions)
            for a in value.__attrs_attrs__
            if getattr(value, a.name) is not None or "use" not in a.metadata
            if a.name not in _silent(value)
        }
    # 1 and 1.0 are one number to a spec and must be one to a key.
    return int(value) if isinstance(value, float) and value.is_integer() else value


@remembered(65536)
def named_in(block: Any) -> frozenset[tuple[str, str]]:
    """Kind and name of every component in a resolved block, a ``Use`` or several of them."""
    return frozenset((use.kind, use.name) for use in _uses(block))


def _uses(value: Any) -> Iterator[Use]:
    if isinstance(value, Use):
        yield value
        value = value.settings
    if isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _uses(item)
    for field in getattr(value, "__attrs_attrs__", ()):
        yield from _uses(getattr(value, field.name))
