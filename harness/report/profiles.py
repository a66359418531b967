"""The same spec at another scale: our numbers beside those of other profiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from os.path import realpath
from pathlib import Path
from statistics import fmean
from typing import Any

from harness.report.numbers import plain_number, with_interval
from harness.report.order import as_key, axis_paths
from harness.report.pairs import Found, apart, bounds_of, differences, values
from harness.report.read import read_results
from harness.report.results import Results, Values
from harness.report.section import Section
from harness.report.spread import statistics
from harness.spec import places

Paths = Mapping[str, places.Path]


def other_profiles(results: Results, folder: Path) -> Iterator[Section]:
    """One section for each folder beside ``folder`` with another profile of the same spec.

    Folders whose results cannot be read are passed over.
    """
    here = Path(realpath(folder))
    for file in sorted(here.parent.glob("*/results.json")):
        if file.parent == here:
            continue
        with suppress(Exception):  # whatever is wrong with it, it does not end this run
            other = read_results(file)
            names = [(r.spec["id"], r.spec["version"]) for r in (results, other)]
            if names[0] == names[1] and other.profile != results.profile:
                yield profile_section(results, other)


def profile_section(results: Results, other: Results) -> Section:
    """Every metric of each method in both profiles, over the cells that both have."""
    ours, theirs = (r.profile or "default" for r in (results, other))
    paths = {**_paths(results), **_paths(other)}
    rows = [
        [method, metric, *line]
        for method in results.order.methods
        for metric in results.order.metrics
        for line in _line(
            results, metric, *(_values(r, metric, method, paths) for r in (results, other))
        )
    ]
    if not rows:
        return Section(theirs, (f"The profiles {ours} and {theirs} have no cell in common.",))
    note = (
        f"This profile ({ours}) beside {theirs}: for each metric, the mean over seeds and then "
        "over the cells that both have; settings that are not axes may differ. Where both have the "
        "same seeds, the difference has its 95 % interval, paired by seed."
    )
    headers = ["method", "metric", "cells", ours, theirs, "difference"]
    return Section(theirs, (note,), tables=(("", (headers, rows)),))


def _line(results: Results, metric: str, mine: Found, its: Found) -> Iterator[list[str]]:
    """Number of cells that both have, both means and their difference."""
    here, there = _by_cell(mine), _by_cell(its)
    if shared := [cell for cell in here if cell in there]:
        means = [fmean(cells[cell] for cell in shared) for cells in (here, there)]
        shown = plain_number(means[0] - means[1])
        whole = all({*shared} <= cells.keys() for f in (mine, its) for cells in f.values())
        if whole and mine.keys() == its.keys():
            paired = differences(mine, its, weigh=lambda cell: 1.0).values()
            shown = with_interval(statistics([*paired], apart(bounds_of(results, metric))))
        yield [str(len(shared)), *map(plain_number, means), shown]


def _by_cell(found: Found) -> dict[str, float]:
    """The mean over seeds of each cell."""
    cells: dict[str, list[float]] = {}
    for values_of_seed in found.values():
        for cell, value in values_of_seed.items():
            cells.setdefault(cell, []).append(value)
    return {cell: fmean(several) for cell, several in cells.items()}


def _paths(results: Results) -> Paths:
    return {as_key(path): path for path in axis_paths(results.spec).values()}


def _values(results: Results, metric: str, method: str, paths: Paths) -> Found:
    """The values of ``method``, cells by what they have at each of ``paths``, swept or not."""
    names = {path: axis for axis, path in axis_paths(results.spec).items()}

    def name(cell: Values) -> str:
        return as_key(
            [
                cell.get(names[path]) if path in names else _at(results.spec, path)
                for path in paths.values()
            ]
        )

    return values(results, metric, method, name=name)


def _at(value: Any, path: places.Path) -> Any:
    for part in path:
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value
