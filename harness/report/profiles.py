"""The same spec at another scale: our numbers beside those of other profiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from harness.errors import UsageError
from harness.report.numbers import plain_number
from harness.report.order import as_key, axis_paths
from harness.report.read import read_results
from harness.report.results import Results
from harness.report.section import Section
from harness.report.spread import Statistics
from harness.spec import places

Paths = Mapping[str, places.Path]
Cells = Mapping[str, Mapping[str, Statistics]]


def other_profiles(results: Results, folder: Path) -> Iterator[Section]:
    """One section for each folder beside ``folder`` with another profile of the same spec.

    Folders whose results cannot be read are passed over.
    """
    here = folder.resolve()
    for file in sorted(here.parent.glob("*/results.json")):
        if file.parent == here:
            continue
        try:
            other = read_results(file)
            names = [(r.spec["id"], r.spec["version"]) for r in (results, other)]
            if names[0] == names[1] and other.profile != results.profile:
                yield profile_section(results, other)
        except (UsageError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            continue


def profile_section(results: Results, other: Results) -> Section:
    """Every metric of each method in both profiles, over the cells that both have."""
    ours, theirs = (r.profile or "default" for r in (results, other))
    paths = {**_paths(results), **_paths(other)}
    rows = [
        [method, *line]
        for method in results.order.methods
        for line in _lines(
            _cells(results, method, paths), _cells(other, method, paths), results.order.metrics
        )
    ]
    if not rows:
        return Section(theirs, (f"The profiles {ours} and {theirs} have no cell in common.",))
    note = (
        f"This profile ({ours}) beside {theirs}: for each metric, the mean over seeds and then "
        "over the cells that both have; settings that are not axes may differ."
    )
    headers = ["method", "metric", "cells", ours, theirs, "difference"]
    return Section(theirs, (note,), tables=(("", (headers, rows)),))


def _lines(mine: Cells, its: Cells, metrics: tuple[str, ...]) -> Iterator[list[str]]:
    """Metric, number of cells, both means and their difference."""
    for metric in metrics:
        pairs = [
            (a, b)
            for cell in mine.keys() & its.keys()
            if (a := _mean(mine[cell], metric)) is not None
            and (b := _mean(its[cell], metric)) is not None
        ]
        if pairs:
            here, there = (fmean(values) for values in zip(*pairs, strict=True))
            yield [metric, str(len(pairs)), *map(plain_number, (here, there, here - there))]


def _paths(results: Results) -> Paths:
    return {as_key(path): path for path in axis_paths(results.spec).values()}


def _cells(results: Results, method: str, paths: Paths) -> Cells:
    """The summaries of ``method`` by the cell's value at each of ``paths``, swept or not."""
    names = {path: axis for axis, path in axis_paths(results.spec).items()}
    return {
        as_key(
            [
                summary.cell.get(names[path]) if path in names else _at(results.spec, path)
                for path in paths.values()
            ]
        ): summary.metrics
        for summary in results.summaries
        if summary.method == method
    }


def _at(value: Any, path: places.Path) -> Any:
    for part in path:
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def _mean(metrics: Mapping[str, Statistics], metric: str) -> float | None:
    found = metrics.get(metric)
    return None if found is None else found.mean
