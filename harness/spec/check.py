"""What a schema cannot say: references between the blocks of a spec."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harness.components import get
from harness.errors import nearest
from harness.spec import expression
from harness.spec.blocks import MethodUse, Spec, Use
from harness.spec.places import Document, Path, Problem
from harness.spec.structure import unstructure
from harness.spec.sweeps import CELL_BLOCKS, assignments, axis_names, sweeps_in


def check(spec: Spec, document: Document) -> list[Problem]:
    """Everything in ``spec`` that contradicts itself."""
    return [
        *_check_sweeps(spec, document),
        *_check_train(spec, document),
        *_check_blocks(spec, document),
        *_check_methods(spec, document),
        *_check_claims(spec, document),
    ]


def measured(metrics: Iterable[Use]) -> dict[str, Use]:
    """Every name that ``metrics`` measure, with the metric that does."""
    return {
        name: use
        for use in metrics
        for name in get("metrics", use.name).traits["outputs"](use.settings)
    }


def needs_of(metric: Use) -> frozenset[str]:
    """What ``metric`` needs of a spec: corruption, validation, reference."""
    needs = get("metrics", metric.name).traits.get("needs", frozenset())
    found: frozenset[str] = needs(metric.settings) if callable(needs) else needs
    return found


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
    if train.checkpoint == "best_validation" and spec.data.validation == 0:
        what = "'best_validation' needs held-out data; set data.validation"
        yield document.problem(("train", "checkpoint"), what)


def _check_blocks(spec: Spec, document: Document) -> Iterator[Problem]:
    if len(set(spec.seeds)) != len(spec.seeds):
        yield document.problem(("seeds",), "a seed stands twice; each repetition needs its own")
    if not spec.seeds:
        yield document.problem(("seeds",), "an empty list; at least one seed is needed")
    if spec.forget.name == "corrupted" and spec.corruption.name == "none":
        what = "'corrupted' needs a corruption; none is named"
        yield document.problem(("forget", "set"), what)
    triggered = "trigger" in get("corruptions", spec.corruption.name).traits
    for i, use in enumerate(spec.metrics):
        needs = needs_of(use)
        if "corruption" in needs and not triggered:
            what = f"{use.name!r} needs a corruption with a trigger; found {spec.corruption.name!r}"
            yield document.problem(("metrics", i), what)
        if "validation" in needs and spec.data.validation == 0:
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
        yield from _check_select(method, (*path, "select"), names, document)
    if not spec.methods:
        yield document.problem(("methods",), "an empty list; at least one method is needed")
    if not spec.metrics:
        yield document.problem(("metrics",), "an empty list; at least one metric is needed")


def _check_select(
    method: MethodUse, path: Path, names: Iterable[str], document: Document
) -> Iterator[Problem]:
    select = method.select
    if select is None:
        count = sum(1 for _ in assignments(sweeps_of(method)))
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
        what = f"the metric {name!r} is not measured{nearest(name, names)}"
        yield document.problem(here, f"{what} (measured: {', '.join(sorted(names))})")


def _check_at(
    method: MethodUse, at: Mapping[str, Any], path: Path, document: Document
) -> Iterator[Problem]:
    plain = sweeps_of(method)
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


def sweeps_of(method: MethodUse) -> Any:
    """The plain settings of a method's component, sweeps included."""
    from harness.spec.structure import unstructure_settings

    return unstructure_settings(method.use.settings)


def _check_claims(spec: Spec, document: Document) -> Iterator[Problem]:
    labels = [method.label for method in spec.methods]
    names = measured(spec.metrics)
    axes = {*axis_names(spec), "seed"}
    for i, claim in enumerate(spec.claims):
        path: Path = ("claims", i)
        if claim.method not in labels:
            what = f"the method {claim.method!r} does not run{nearest(claim.method, labels)}"
            yield document.problem((*path, "method"), f"{what} (it runs: {', '.join(labels)})")
        if claim.metric not in names:
            what = f"the metric {claim.metric!r} is not measured{nearest(claim.metric, names)}"
            yield document.problem(
                (*path, "metric"), f"{what} (measured: {', '.join(sorted(names))})"
            )
        for key, found in (("over", claim.over), ("at", claim.at)):
            for axis in found:
                if axis not in axes:
                    what = f"{axis!r} is not swept{nearest(axis, axes)}"
                    yield document.problem(
                        (*path, key), f"{what} (axes: {', '.join(sorted(axes))})"
                    )
