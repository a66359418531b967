"""How a settings class or spec block declares its fields."""

from __future__ import annotations

from typing import Any

import attrs


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
    later: bool = False,
    example: Any = None,
) -> Any:
    """Declare one field of a settings class or spec block.

    Args:
        default: value when the spec leaves the field out; required without one.
        doc: what the field means, shown by editors, ``harness describe`` and the reports.
        unit: "steps", "samples", "" for dimensionless.
        gt, ge, lt, le: bounds of a number. pattern: regular expression of a string.
        later: the field was added to a component that has results: while it has its default, it
            has no part in keys and draws, which stay as they were without it.
        example: what ``harness describe`` writes where the default does not do.

    A choice between words is a ``Literal`` type, a nested choice between components is annotated
    with ``harness.spec.blocks.Use`` through ``use(kind)``.
    """
    bounds = {"gt": gt, "ge": ge, "lt": lt, "le": le}
    metadata = {
        "doc": doc,
        "unit": unit,
        "bounds": {name: bound for name, bound in bounds.items() if bound is not None},
        "pattern": pattern,
        "later": later,
        "example": example,
    }
    return attrs.field(default=default, metadata=metadata, kw_only=True)


@attrs.frozen
class NoSettings:
    """The settings of a component that has none."""
