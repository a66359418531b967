"""Which points of the protocol have no result, so that nobody takes a part for the whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.report.order import canonical

Point = tuple[Mapping[str, Any], str, int]


def points(results: Mapping[str, Any]) -> Iterable[Point]:
    """Every cell, method and seed that the spec asks for."""
    for cell in results["order"]["cells"]:
        for method in results["spec"]["methods"]:
            for seed in results["spec"]["seeds"]:
                yield cell, method["label"], seed


def missing(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The points without a chosen result: cell, method and the seeds that lack it."""
    found = {
        (canonical(row["cell"]), row["method"], row["seed"])
        for row in results["rows"]
        if row["selected"]
    }
    absent: dict[tuple[str, str], dict[str, Any]] = {}
    for cell, method, seed in points(results):
        name = canonical(cell)
        if (name, method, seed) not in found:
            entry = {"cell": dict(cell), "method": method, "seeds": []}
            absent.setdefault((name, method), entry)["seeds"].append(seed)
    return list(absent.values())


def in_words(entry: Mapping[str, Any]) -> str:
    """``ssd at discovered=0.5, seeds 0, 1``."""
    at = ", ".join(f"{axis}={value}" for axis, value in entry["cell"].items())
    seeds = ", ".join(map(str, entry["seeds"]))
    word = "seed" if len(entry["seeds"]) == 1 else "seeds"
    return f"{entry['method']}{f' at {at}' if at else ''}, {word} {seeds}"
