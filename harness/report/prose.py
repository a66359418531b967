"""Numbers in prose, filled in from the results near it.

``<!--n cpu healed method=ssd unit=%-->72.8<!--/n-->`` in a Markdown file shows 72.8. The first
word is the folder of a ``results.json``, from the file's own, the second what is shown: a metric,
``rows`` (all that fit), or the place of a number in ``results.json``, as ``/spec/train/steps``.

Options:

``method=``, ``seed=``, an axis or a setting of the candidates: the rows that are averaged, over
    cells and then over seeds; the chosen candidates, unless a setting of theirs is named
``minus=``: another method, whose mean is taken off for each seed that both have
``show=``: ``mean`` (default), ``std``, ``n``, ``low``, ``high`` (95 % interval) or ``mean±std``
``unit=``: ``%`` (a hundred times), ``min`` (a sixtieth); ``digits=`` behind the point, 1 or 3 else
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from harness.errors import UsageError
from harness.report.order import as_key
from harness.report.pairs import apart, bounds_of, means
from harness.report.read import read_results
from harness.report.record import Seed, to_plain
from harness.report.results import ResultRow, Results
from harness.report.spread import statistics
from harness.report.weights import weights_of

MARK = re.compile(r"(<!--n (.*?)-->)(.*?)(<!--/n-->)")
UNITS = {"": 1.0, "%": 100.0, "min": 1 / 60}
SHOWN = ("mean", "std", "n", "low", "high", "mean±std")
WRITTEN = ("show", "unit", "digits", "minus")


def filled(file: Path, root: Path) -> str:
    """The text of ``file`` with every marked number as the results below ``root`` have it.

    Raises:
        UsageError: a mark that nothing answers, with its line and what is allowed.
    """
    text = file.read_text(encoding="utf-8")
    read = cache(read_results)
    for stray in re.finditer(r"<!--/?n\b", MARK.sub(lambda m: " " * len(m[0]), text)):
        raise UsageError(f"{_at(file, text, stray.start())}: a mark without its other half")

    def value(mark: re.Match[str]) -> str:
        try:
            profile, what, *options = mark[2].split()
            folder = (file.parent / profile).resolve()
            if not folder.is_relative_to(root.resolve()):
                raise UsageError(f"{profile!r} is not in {root}; name a folder that holds both")
            return mark[1] + _value(read(folder), what, _pairs(options)) + mark[4]
        except ValueError:
            problem = "a mark is <!--n FOLDER METRIC name=value...-->"
        except UsageError as error:
            problem = str(error)
        raise UsageError(f"{_at(file, text, mark.start())}: {problem}")

    return MARK.sub(value, text)


def _at(file: Path, text: str, place: int) -> str:
    return f"{file}:{text.count(chr(10), 0, place) + 1}"


def _pairs(options: list[str]) -> dict[str, str]:
    return dict(option.split("=", 1) for option in options)


def _value(results: Results, what: str, options: Mapping[str, str]) -> str:
    unit = _one_of(options.get("unit", ""), UNITS, "unit")
    digits = int(options.get("digits", 1 if unit else 3))
    if what.startswith("/"):
        return _written(_found(to_plain(results), what), unit, digits)
    wanted = {name: value for name, value in options.items() if name not in WRITTEN}
    rows = _rows(results, wanted, every=what == "rows")
    if what == "rows":
        return f"{len(rows):,}"
    _one_of(what, results.order.metrics, "metric")
    by_seed, bounds = _means(results, rows, what), bounds_of(results, what)
    if other := options.get("minus"):
        less = _means(results, _rows(results, {**wanted, "method": other}, every=False), what)
        by_seed = {seed: mean - less[seed] for seed, mean in by_seed.items() if seed in less}
        bounds = apart(bounds)
    scale = UNITS[unit]
    found = statistics(
        [scale * m for m in by_seed.values()], (scale * bounds[0], scale * bounds[1])
    )
    names = _one_of(options.get("show", "mean"), SHOWN, "show").split("±")
    values = [getattr(found, name) for name in names]
    if None in values:
        raise UsageError(f"{' and '.join(names)} of {what} is not known (n={found.n})")
    return " ± ".join(str(v) if isinstance(v, int) else f"{v:.{digits}f}" for v in values)


def _means(results: Results, rows: list[ResultRow], metric: str) -> dict[Seed, float]:
    """By seed: the mean over cells of those over what else the rows differ in."""
    seeds: dict[Seed, dict[str, list[float]]] = {}
    for row in rows:
        if (measured := row.metrics.get(metric)) is not None:
            seeds.setdefault(row.seed, {}).setdefault(as_key(row.cell), []).append(measured)
    found = {s: {cell: fmean(v) for cell, v in cells.items()} for s, cells in seeds.items()}
    return means(found, weights_of(results))


def _rows(results: Results, wanted: Mapping[str, str], every: bool) -> list[ResultRow]:
    """The rows that fit; the error names the values of the first option that none fits."""
    settings = {name for row in results.rows for name in row.candidate} - {*results.order.axes}
    every = every or bool(settings & wanted.keys())
    rows = [row for row in results.rows if row.selected or every]
    for name, value in wanted.items():
        _one_of(
            name, ["method", "seed", *results.order.axes, *sorted(settings), *WRITTEN], "option"
        )
        facts = [{**r.candidate, **r.cell, "method": r.method, "seed": r.seed} for r in rows]
        known = {_plain(fact[name]) for fact in facts if name in fact}
        _one_of(_plain(value), sorted(known), name)
        rows = [r for r, f in zip(rows, facts, strict=True) if _plain(f.get(name)) == _plain(value)]
    return rows


def _plain(value: Any) -> str:
    return str(value).removesuffix(".0")


def _found(plain: Any, place: str) -> Any:
    for word in place[1:].split("/"):
        if isinstance(plain, list) and word.isdigit() and int(word) < len(plain):
            plain = plain[int(word)]
        else:
            known = plain if isinstance(plain, Mapping) else {}
            plain = known[_one_of(word, known, place)]
    return plain


def _written(value: Any, unit: str, digits: int) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{str(value)[:40]!r} is no number")
    return f"{value:,}" if isinstance(value, int) else f"{UNITS[unit] * value:,.{digits}f}"


def _one_of(word: str, known: Any, what: str) -> str:
    if word not in known:
        raise UsageError(f"no {what} {word!r} (there are: {', '.join(known) or 'none'})")
    return word
