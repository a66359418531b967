"""What the metrics of a spec measure, and what others would."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Literal, get_args, get_origin, get_type_hints

from attrs import evolve

from harness.components import get, load
from harness.errors import nearest
from harness.spec.blocks import Use
from harness.spec.schema import required_settings


def measured(metrics: Iterable[Use]) -> dict[str, Use]:
    """Every name that ``metrics`` measure, with the metric that does."""
    return {
        name: use
        for use in metrics
        for name in get("metrics", use.name).traits.outputs(use.settings)
    }


def not_measured(name: str, names: Collection[str]) -> str:
    """That the metric ``name`` is not among the measured ``names``, and what would measure it."""
    by = next((written for written, given in _offered() if name in given), None)
    hint = nearest(name, names) if by is None else f"; add {by} to metrics"
    return f"the metric {name!r} is not measured{hint} (measured: {', '.join(sorted(names))})"


def _offered() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Metrics as a spec names them, with at most one setting, and what they measure so."""
    for metric in load("metrics").values():
        if required_settings(metric.settings):
            continue
        plain, outputs = metric.settings(), metric.traits.outputs
        yield metric.name, outputs(plain)
        for key, hint in get_type_hints(metric.settings).items():
            words = (
                get_args(hint) if get_origin(hint) is Literal else (True, False) * (hint is bool)
            )
            for word in words:
                written = f"{{name: {metric.name}, {key}: {str(word).lower()}}}"
                yield written, outputs(evolve(plain, **{key: word}))


def _words(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) is Literal:
        return get_args(hint)
    return (True, False) if hint is bool else ()


def needs_of(metric: Use) -> frozenset[str]:
    """What ``metric`` needs of a spec: corruption, validation, reference."""
    return get("metrics", metric.name).traits.needs(metric.settings)
