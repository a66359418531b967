"""What must hold of a ``results.json`` before anything is made of it: it may be a stranger's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import attrs

from harness.components import remembered
from harness.patterns import Checker
from harness.report.order import as_key
from harness.report.results import UNORDERED, Results
from harness.spec import expression
from harness.spec.blocks import Spec
from harness.spec.check import MOST_POINTS
from harness.spec.places import SpecError
from harness.spec.seeds import count
from harness.spec.structure import structure_seeds
from harness.spec.sweeps import blocks_of, points_of, sweeps_in
from harness.spec.variants import seeds_in

MOST_LEVELS = 40
LARGEST = 1e100  # of a number; the squares of larger ones leave the floats

_WORD = {"type": "string"}
_MAYBE = {"type": ["string", "null"]}
_AMOUNT = {"type": ["number", "object", "null"]}


def _block(*words: str, **parts: Any) -> dict[str, Any]:
    """A mapping that has these strings and these parts."""
    fields = {**dict.fromkeys(words, _WORD), **parts}
    return {"type": "object", "required": list(fields), "properties": fields}


def _text(name: str) -> dict[str, Any]:
    return {"type": "string", "pattern": getattr(attrs.fields(Spec), name).metadata["pattern"]}


@remembered()
def _validator() -> Any:
    """Of what a report reads of the resolved spec, whose components need not be installed."""
    select = {
        "type": ["object", "null"],
        "properties": {"maximize": _MAYBE, "minimize": _MAYBE, "at": {"type": ["object", "null"]}},
    }
    method = _block("name", "label")
    method["properties"]["select"] = select
    spec = _block(
        "deterministic",
        id=_text("id"),
        version=_text("version"),
        note=_WORD,
        data=_block(dataset=_block("name")),
        corruption=_block("name"),
        model=_block("name"),
        forget=_block("set"),
        train=_block("checkpoint", optimizer=_block("name"), batch_size=_AMOUNT),
        methods={"type": "array", "items": method},
        claims={"type": "array", "items": {"type": "object"}},
    )
    named = {"type": "object", "additionalProperties": {"type": "object"}}
    of_names = {"type": ["object", "null"], "additionalProperties": named}
    spec["properties"]["variants"] = of_names
    return Checker(spec)


_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def too_much(found: Any) -> str | None:
    """Why the plain data ``found`` are more than can be handled, with the place, or None."""
    stack: list[tuple[Any, tuple[Any, ...]]] = [(found, ())]
    while stack:
        value, path = stack.pop()
        if len(path) > MOST_LEVELS:
            return f"nested deeper than {MOST_LEVELS} levels{_at(path[:3])}"
        if isinstance(value, dict | list):
            inside = value.items() if isinstance(value, dict) else enumerate(value)
            stack += [(inner, (*path, key)) for key, inner in inside]
            stack += [(key, path) for key in value] if isinstance(value, dict) else []
        elif isinstance(value, str) and _NO_TEXT.search(value):
            return f"a character that no text has{_at(path)}"
        elif isinstance(value, int | float) and not abs(value) <= LARGEST:
            return f"a number beyond {LARGEST:g}{_at(path)}"
    return None


def misshapen(found: Results) -> Iterator[str]:
    """What is wrong with parts of ``found`` that are not typed, or do not fit each other."""
    for error in _validator().iter_errors(found.spec):
        yield f"{error.message:.200}{_at(('spec', *error.absolute_path))}"
        return  # what follows builds on it
    for path, sweep in sweeps_in(found.spec, ("spec",)):
        if not isinstance(sweep["sweep"], list) or not sweep["sweep"]:
            yield f"a sweep without values{_at(path)}"
            return
    seeds = structure_seeds(found.spec["seeds"])
    if points_of(blocks_of(found.spec)) * count(seeds) > MOST_POINTS:
        yield f"more than {MOST_POINTS:,} points of the tables"
    for axis, values in (found.spec.get("variants") or {}).items():
        for name, variant in values.items():
            place = ("spec", "variants", axis, name)
            try:
                if count(seeds_in(variant, seeds) or ()) > MOST_POINTS:
                    yield f"more than {MOST_POINTS:,} seeds{_at(place)}"
            except SpecError as problem:
                yield f"{problem}{_at(place)}"
    for i, method in enumerate(found.spec["methods"]):
        select = method.get("select") or {}
        try:
            for rule in filter(None, (select.get("maximize"), select.get("minimize"))):
                expression.parse(rule)
        except expression.ExpressionError as problem:
            yield f"{problem}{_at(('spec', 'methods', i, 'select'))}"
    order = found.order
    if order == UNORDERED:
        return
    cells = set(map(as_key, order.cells))
    for name in ("rows", "scores"):
        for i, row in enumerate(getattr(found, name)):
            if as_key(row.cell) not in cells or row.method not in order.methods:
                yield f"another cell or method than 'order' has{_at((name, i))}"
    for i, cell in enumerate(order.cells):
        if cell.keys() != set(order.axes):
            yield f"other axes than 'order' has{_at(('order', 'cells', i))}"


def _at(path: tuple[Any, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return f" at {text.removeprefix('.'):.120}" if path else ""
