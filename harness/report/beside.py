"""The same spec at another scale: our numbers beside those of other profiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from harness.errors import UsageError
from harness.report.numbers import number
from harness.report.order import axis_paths, canonical
from harness.report.results import read_results
from harness.report.section import Section


def other_profiles(results: Mapping[str, Any], folder: Path) -> Iterator[Section]:
    """One section for each folder beside ``folder`` with another profile of the same spec.

    Folders whose results cannot be read are passed over.
    """
    here = folder.resolve()
    for file in sorted(here.parent.glob("*/results.json")):
        if file.parent == here:
            continue
        try:
            other = read_results(file)
            names = [(r["spec"]["id"], r["spec"]["version"]) for r in (results, other)]
            if names[0] == names[1] and other["profile"] != results["profile"]:
                yield beside(results, other)
        except (UsageError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            continue


def beside(results: Mapping[str, Any], other: Mapping[str, Any]) -> Section:
    """Every metric of each method, over the cells that both have."""
    ours, theirs = (r["profile"] or "default" for r in (results, other))
    rows = []
    paths = {**_paths(results), **_paths(other)}
    for method in results["order"]["methods"]:
        mine, its = _cells(results, method, paths), _cells(other, method, paths)
        for metric in results["order"]["metrics"]:
            pairs = [
                (a, b)
                for cell in mine.keys() & its.keys()
                if (a := _mean(mine[cell], metric)) is not None
                and (b := _mean(its[cell], metric)) is not None
            ]
            if pairs:
                here, there = (fmean(values) for values in zip(*pairs, strict=True))
                texts = [_text(value) for value in (here, there, here - there)]
                rows.append([method, metric, str(len(pairs)), *texts])
    if not rows:
        return Section(theirs, (f"The profiles {ours} and {theirs} have no cell in common.",))
    note = (
        f"This profile ({ours}) beside {theirs}: for each metric, the mean over seeds and then "
        "over the cells that both have; settings that are not axes may differ."
    )
    headers = ["method", "metric", "cells", ours, theirs, "difference"]
    return Section(theirs, (note,), tables=(("", (headers, rows)),))


def _paths(results: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {canonical(path): path for path in axis_paths(results["spec"]).values()}


def _cells(
    results: Mapping[str, Any], method: str, paths: Mapping[str, tuple[Any, ...]]
) -> dict[str, Mapping[str, Any]]:
    """The summaries of ``method`` by the cell's value at each of ``paths``, swept or not."""
    names = {path: axis for axis, path in axis_paths(results["spec"]).items()}
    return {
        canonical(
            [
                entry["cell"].get(names[path]) if path in names else _at(results["spec"], path)
                for path in paths.values()
            ]
        ): entry["metrics"]
        for entry in results["summary"]
        if entry["method"] == method
    }


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def _mean(metrics: Mapping[str, Any], metric: str) -> float | None:
    found: float | None = metrics.get(metric, {}).get("mean")
    return found


def _text(value: float) -> str:
    return number({"mean": value, "std": None})
