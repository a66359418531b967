"""What a schema cannot say: references between the blocks of a spec."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from harness.components import get
from harness.errors import HarnessError, nearest
from harness.spec import expression
from harness.spec.blocks import MethodUse, Spec
from harness.spec.check_figures import check_figures
from harness.spec.fit import beside_budget, check_fit, has_validation
from harness.spec.measures import measured, needs_of, not_measured
from harness.spec.places import Document, Path, Problem
from harness.spec.seeds import count, wrong_seeds
from harness.spec.structure import structure_use, unstructure, unstructure_settings
from harness.spec.sweeps import (
    CELL_BLOCKS,
    assignments,
    axis_names,
    cell_blocks,
    plain_value,
    points_of,
    substitute,
    sweeps_in,
)

MOST_POINTS = 200_000  # of the tables, which is ten times the largest protocol so far


def check(spec: Spec, document: Document) -> Iterator[Problem]:
    """Everything in ``spec`` that contradicts itself."""
    if too_many := list(_check_points(spec, document)):
        yield from too_many
        return
    for part in (
        _check_sweeps,
        _check_train,
        check_fit,
        _check_blocks,
        _check_methods,
        check_figures,
        _check_weights,
    ):
        yield from part(spec, document)


def _check_points(spec: Spec, document: Document) -> Iterator[Problem]:
    """A short file can span more points than anybody can list."""
    candidates = sum(
        points_of(unstructure_settings(method.use.settings)) for method in spec.methods
    )
    points = points_of(cell_blocks(spec)) * count(spec.seeds) * candidates
    if points > MOST_POINTS:
        what = f"the sweeps span {points:,} points; at most {MOST_POINTS:,} are allowed"
        yield document.problem((), what)


def _check_weights(spec: Spec, document: Document) -> Iterator[Problem]:
    """A value that is not weighted would count as much as nobody said."""
    axes = axis_names(spec)
    for axis, weights in spec.weights.items():
        if axis not in axes:
            what = f"{axis!r} is not swept{nearest(axis, axes)} (axes: {', '.join(sorted(axes))})"
            yield document.problem(("weights", axis), what)
            continue
        points = assignments(cell_blocks(spec))
        swept = list(dict.fromkeys(plain_value(point[axes[axis]]) for point in points))
        if set(swept) != {plain_value(value) for value in weights}:
            what = f"found {', '.join(weights)}; each of {', '.join(swept)} needs a weight"
            yield document.problem(("weights", axis), what)


def _check_sweeps(spec: Spec, document: Document) -> Iterator[Problem]:
    plain = unstructure(spec)
    scopes: list[tuple[Path, Any]] = [((), {block: plain[block] for block in CELL_BLOCKS})]
    scopes += [(("methods", i), method) for i, method in enumerate(plain["methods"])]
    for path, scope in scopes:
        groups: dict[str, tuple[Path, int]] = {}
        for inner, sweep in sweeps_in(scope):
            here, length = (*path, *inner), len(sweep["sweep"])
            if (group := sweep.get("zip")) is None:
                continue
            other, first = groups.setdefault(group, (here, length))
            if first != length:
                what = (
                    f"zip group {group!r} ties {length} values to the {first} values of "
                    f"{'.'.join(map(str, other))}; they must be as many"
                )
                yield document.problem(here, what)


def _check_train(spec: Spec, document: Document) -> Iterator[Problem]:
    train = spec.train
    if (train.steps is None) == (train.epochs is None):
        found = "neither" if train.steps is None else "both"
        yield document.problem(("train",), f"found {found}; exactly one of steps, epochs is needed")
    if train.checkpoint == "best_validation" and not has_validation(spec):
        what = "'best_validation' needs held-out data; set data.validation"
        yield document.problem(("train", "checkpoint"), what)


def _check_blocks(spec: Spec, document: Document) -> Iterator[Problem]:
    for path, what in wrong_seeds(spec.seeds):
        yield document.problem(("seeds", *path), what)
    corruption = get("corruptions", spec.corruption.name).traits
    if get("forget_sets", spec.forget.name).traits.of_corrupted and corruption.clean:
        what = f"{spec.forget.name!r} needs a corruption; none is named"
        yield document.problem(("forget", "set"), what)
    triggered = corruption.trigger is not None
    exact = any(get("methods", method.use.name).traits.exact for method in spec.methods)
    first: dict[str, int] = {}
    for i, use in enumerate(spec.metrics):
        for name in measured([use]):
            if (before := first.setdefault(name, i)) != i:
                what = f"{name!r} is measured by metrics[{before}] already; name it once"
                yield document.problem(("metrics", i), what)
        needs = needs_of(use)
        if "corruption" in needs and not triggered:
            what = f"{use.name!r} needs a corruption with a trigger; found {spec.corruption.name!r}"
            yield document.problem(("metrics", i), what)
        for left in sorted(need.removeprefix("left:") for need in needs if ":" in need):
            if left not in corruption.leaves:
                what = f"{use.name!r} needs a corruption that leaves {left!r}"
                what = f"{what}; found {spec.corruption.name!r}"
                yield document.problem(("metrics", i), what)
        if "oracle" in needs and not exact:
            what = f"{use.name!r} is read beside the row of training again; name retrain too"
            yield document.problem(("metrics", i), what)
        if "validation" in needs and not has_validation(spec):
            what = f"{use.name!r} needs held-out data; set data.validation"
            yield document.problem(("metrics", i), what)


def _check_methods(spec: Spec, document: Document) -> Iterator[Problem]:
    names = measured(spec.metrics)
    labels: set[str] = set()
    for i, method in enumerate(spec.methods):
        path: Path = ("methods", i)
        if method.label in labels:
            what = f"two methods are called {method.label!r}; give one of them another label"
            yield document.problem(path, what)
        labels.add(method.label)
        sees = get("methods", method.use.name).traits.sees
        if "validation" in sees and not has_validation(spec):
            what = f"{method.use.name!r} sees held-out data; set data.validation"
            yield document.problem(path, what)
        yield from _check_select(method, (*path, "select"), names, document)
        yield from _check_settings(method, path, document)
    if not spec.methods:
        yield document.problem(("methods",), "an empty list; at least one method is needed")
    if spec.unlearning is not None and not beside_budget(spec)[0]:
        what = "a budget, and each method has a length of its own or none; leave a length out"
        yield document.problem(("unlearning", "budget"), what)
    if not spec.metrics:
        yield document.problem(("metrics",), "an empty list; at least one metric is needed")


def _check_select(
    method: MethodUse, path: Path, names: Collection[str], document: Document
) -> Iterator[Problem]:
    select = method.select
    if select is None:
        count = sum(1 for _ in assignments(unstructure_settings(method.use.settings)))
        if count > 1:
            what = f"{method.label!r} has {count} candidates; say with 'select' which one counts"
            yield document.problem(path[:-1], what)
        return
    if sum(rule is not None for rule in (select.maximize, select.minimize, select.at)) != 1:
        yield document.problem(path, "exactly one of maximize, minimize, at is needed")
        return
    if select.at is not None:
        yield from _check_at(method, select.at, (*path, "at"), document)
        return
    key = "maximize" if select.maximize is not None else "minimize"
    here = (*path, key)
    try:
        used = expression.names(expression.parse(getattr(select, key)))
    except expression.ExpressionError as problem:
        yield document.problem(here, f"found {getattr(select, key)!r}; {problem}")
        return
    for name in sorted(used - set(names)):
        yield document.problem(here, not_measured(name, names))


def _check_settings(method: MethodUse, path: Path, document: Document) -> Iterator[Problem]:
    """Settings that contradict each other, as the method itself says."""
    same_as = get("methods", method.use.name).traits.same_as
    plain = {"name": method.use.name, **unstructure_settings(method.use.settings)}
    for point in assignments(plain):
        try:
            same = same_as(structure_use("methods", substitute(plain, point)).settings)
        except (HarnessError, OverflowError) as problem:
            yield document.problem(path, str(problem))
            return
        for name, value in unstructure_settings(same).items():
            if isinstance(value, float) and not math.isfinite(value):
                yield document.problem(
                    path, f"its settings make {name} {value}; a finite number is needed"
                )
                return


def _check_at(
    method: MethodUse, at: Mapping[str, Any], path: Path, document: Document
) -> Iterator[Problem]:
    plain = unstructure_settings(method.use.settings)
    left = [
        {".".join(map(str, where)): value for where, value in point.items()}
        for point in assignments(plain)
    ]
    for name, value in at.items():
        here = (*path, name)
        if name not in plain:
            what = f"{method.use.name!r} has no setting {name!r}{nearest(name, plain)}"
            yield document.problem(here, f"{what} (settings: {', '.join(sorted(plain))})")
            return
        kept = [point for point in left if point.get(name, value) == value]
        if not kept:
            known = ", ".join(dict.fromkeys(str(point[name]) for point in left))
            yield document.problem(here, f"{value!r} is not among the candidates ({known})")
            return
        left = kept
    if len(left) > 1:
        what = f"{len(left)} candidates fit; give a value for every swept setting"
        yield document.problem(path, what)
