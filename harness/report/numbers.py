"""How a table writes a number with its spread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NOTHING = "–"


def number(entry: Mapping[str, Any] | None) -> str:
    """``0.912 ± 0.004``, or the mean alone where there is no spread."""
    if entry is None or entry["mean"] is None:
        return NOTHING
    form = _form(entry["mean"], entry["std"] or 0.0)
    mean = _rounded(entry["mean"], form)
    return mean if entry["std"] is None else f"{mean} ± {_rounded(entry['std'], form)}"


def interval(entry: Mapping[str, Any] | None) -> str:
    """``[0.902, 0.921]``, or a dash where there is one seed only."""
    if entry is None or entry["low"] is None:
        return NOTHING
    form = _form(entry["low"], entry["high"])
    return f"[{_rounded(entry['low'], form)}, {_rounded(entry['high'], form)}]"


def _form(*values: float) -> str:
    """Three decimals, unless they would show nothing or run too long."""
    largest = max(map(abs, values))
    return ".3f" if largest == 0 or 0.0005 <= largest < 1e5 else ".2e"


def _rounded(value: float, form: str) -> str:
    text = format(value, form)
    return text[1:] if text.startswith("-") and float(text) == 0 else text
