"""The order in which a report shows cells, methods, metrics and rows: that of the spec."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from harness.report.repetitions import labels
from harness.report.results import Order, ResultRow, Results, Values
from harness.spec.places import Path
from harness.spec.sweeps import assignments, blocks_of, named, sweeps_in


def as_key(value: Any) -> str:
    """Text that is equal for equal values, for what cannot be a key itself: cells, candidates."""
    return json.dumps(value, sort_keys=True)


def order_of(results: Results) -> Order:
    """The order of the spec. What the rows have beyond the spec comes last."""
    rows = results.rows
    axes, cells = _spanned(results.spec)
    found = {as_key(row.cell): row.cell for row in rows}
    known = {as_key(cell) for cell in cells}
    return Order(
        axes=_together(axes, sorted({axis for row in rows for axis in row.cell})),
        cells=(*cells, *(found[key] for key in sorted(found.keys() - known))),
        methods=_together(results.methods, sorted({row.method for row in rows})),
        metrics=_together(_of_models(results), sorted({m for row in rows for m in row.metrics})),
    )


def _of_models(results: Results) -> list[str]:
    """The metrics that rows have; those over a population stand in a table of their own."""
    return [name for name, facts in results.metrics.items() if facts.over == "model"]


def _together(first: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*first, *more]))


def axis_paths(spec: Mapping[str, Any]) -> dict[str, Path]:
    """The axes of a spec as the plan names them, with the places of their sweeps."""
    return named(path for path, _ in sweeps_in(blocks_of(spec)))


def _spanned(spec: Mapping[str, Any]) -> tuple[list[str], list[Values]]:
    """The axes of the spec and every cell that they span."""
    paths = axis_paths(spec)
    cells: list[Values] = [
        {name: point[path] for name, path in paths.items()}
        for point in assignments(blocks_of(spec))
    ]
    return list(paths), cells


def in_order(results: Results, order: Order) -> tuple[ResultRow, ...]:
    """The rows by cell, seed, method and candidate, each in the order of the spec."""
    spec = results.spec
    cells = {as_key(cell): i for i, cell in enumerate(order.cells)}
    seeds = {seed: i for i, seed in enumerate(labels(spec))}
    methods = {label: i for i, label in enumerate(order.methods)}
    candidates = {
        method["label"]: _candidates(method) for method in spec["methods"] if "label" in method
    }

    def place(row: ResultRow) -> tuple[Any, ...]:
        known = candidates.get(row.method, {})
        candidate = as_key(row.candidate)
        return (
            cells[as_key(row.cell)],
            (seeds.get(row.seed, len(seeds)), str(row.seed)),
            methods[row.method],
            (known.get(candidate, len(known)), candidate),
        )

    return tuple(sorted(results.rows, key=place))


def _candidates(method: Mapping[str, Any]) -> dict[str, int]:
    points = assignments({k: v for k, v in method.items() if k != "select"})
    named = [{".".join(map(str, path)): v for path, v in point.items()} for point in points]
    return {as_key(values): i for i, values in enumerate(named)}
