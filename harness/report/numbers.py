"""How a table writes a number with its spread."""

from __future__ import annotations

from harness.report.spread import Statistics

NOTHING = "–"


class Best(str):
    """The text of a cell that stands out."""

    __slots__ = ()


def number(found: Statistics | None) -> str:
    """``0.912 ± 0.004``, or the mean alone where there is no spread."""
    if found is None or found.mean is None:
        return NOTHING
    form = _form(found.mean, found.std or 0.0)
    mean = _rounded(found.mean, form)
    return mean if found.std is None else f"{mean} ± {_rounded(found.std, form)}"


def interval(found: Statistics | None) -> str:
    """``[0.902, 0.921]``, or a dash where there is one seed only."""
    if found is None or found.low is None or found.high is None:
        return NOTHING
    form = _form(found.low, found.high)
    return f"[{_rounded(found.low, form)}, {_rounded(found.high, form)}]"


def with_interval(found: Statistics | None) -> str:
    """``0.912 [0.902, 0.921]``, or the mean alone where there is one seed only."""
    if found is None or found.low is None:
        return number(found)
    return f"{plain_number(found.mean)} {interval(found)}"


def plain_number(value: float | None) -> str:
    """``0.912``, without a spread."""
    return NOTHING if value is None else _rounded(value, _form(value))


def _form(*values: float) -> str:
    """Three decimals, unless they would show nothing or run too long."""
    largest = max(map(abs, values))
    return ".3f" if largest == 0 or 0.0005 <= largest < 1e5 else ".2e"


def _rounded(value: float, form: str) -> str:
    text = format(value, form)
    return text[1:] if text.startswith("-") and float(text) == 0 else text
