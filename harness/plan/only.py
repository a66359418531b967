"""Restricts a plan to some methods or cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import attrs

from harness.errors import UsageError, nearest
from harness.plan.plan import Choice, Group, Plan
from harness.spec.reader import scalar


def restrict(plan: Plan, only: Sequence[str]) -> Plan:
    """``plan`` with only the groups that fit every ``axis=value``, and the stages they need.

    Several values of one axis are alternatives. Raises UsageError for an unknown axis or value.
    """
    if not only:
        return plan
    wanted: dict[str, list[str]] = {}
    for condition in only:
        axis, equals, value = condition.partition("=")
        if not equals:
            raise UsageError(f"--only {condition}: AXIS=VALUE is needed, as method=ssd")
        wanted.setdefault(axis, []).append(value)
    groups = plan.groups
    for axis, values in wanted.items():
        groups = _matching(groups, axis, values)
    choices = tuple(_narrowed(plan.choices, set(groups)))
    needed = plan.needed(key for choice in choices for key in choice.measurements)
    stages = {key: stage for key, stage in plan.stages.items() if key in needed}
    return attrs.evolve(plan, choices=choices, stages=stages)


def _narrowed(choices: Iterable[Choice], wanted: set[Group]) -> Iterator[Choice]:
    """The choices among ``wanted`` groups. A population that is not whole is not scored."""
    for choice in choices:
        groups = tuple(group for group in choice.groups if group in wanted)
        if groups:
            yield choice if len(groups) == len(choice.groups) else Choice(groups)


def _matching(groups: tuple[Group, ...], axis: str, values: list[str]) -> tuple[Group, ...]:
    axes = ["method", "seed", *(groups[0].cell.point if groups else ())]
    if groups and axis not in axes:
        raise UsageError(
            f"--only {axis}=...: no such axis{nearest(axis, axes)} (axes: {', '.join(axes)})"
        )
    known = {str(_value(group, axis)): _value(group, axis) for group in groups}
    for value in values:
        if value not in known and scalar(value) not in known.values():
            raise UsageError(
                f"--only {axis}={value}: no such value{nearest(value, known)} "
                f"(values: {', '.join(known)})"
            )
    accepted = [*values, *map(scalar, values)]
    return tuple(group for group in groups if _value(group, axis) in accepted)


def _value(group: Group, axis: str) -> object:
    if axis == "method":
        return group.method.label
    return group.cell.seed if axis == "seed" else group.cell.point[axis]
