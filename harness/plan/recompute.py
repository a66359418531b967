"""Which stages ``--recompute`` asks for."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from harness.components import KINDS
from harness.errors import UsageError, nearest
from harness.plan.kinds import components_of
from harness.plan.plan import Plan


def asked_again(plan: Plan, conditions: Sequence[str]) -> frozenset[str]:
    """The keys of the stages that fit one of ``conditions``, and of all that depends on them.

    ``method=ssd`` fits what the method computes, by its name or its label; other components
    likewise (``metric=cost``, ``corruption=badnet``). ``kind=unlearn`` and ``key=0123abcd``, the
    beginning of a key, fit stages themselves.

    Raises:
        UsageError: a condition is malformed, or no stage of ``plan`` fits it.
    """
    wanted = {key for condition in conditions for key in _fitting(plan, condition)}
    for key, stage in plan.stages.items():  # inputs come first
        if not wanted.isdisjoint(source for _, source in stage.inputs):
            wanted.add(key)
    return frozenset(wanted)


def _fitting(plan: Plan, condition: str) -> set[str]:
    what, equals, value = condition.partition("=")
    words = ["kind", "key", *(kind.removesuffix("s") for kind in KINDS)]
    if not equals or what not in words:
        hint = nearest(what, words)
        raise UsageError(
            f"--recompute {condition}: WHAT=NAME is needed, as method=ssd{hint} "
            f"(what: {', '.join(words)})"
        )
    if what == "key":
        found = {key for key in plan.stages if key.startswith(value)}
        if not re.fullmatch("[0-9a-f]{8,64}", value) or not found:
            raise UsageError(
                f"--recompute {condition}: the first 8 or more hex digits of the key of a stage "
                "of this plan are needed (harness plan SPEC --json has them all)"
            )
        return found
    known = _by_name(plan, what)
    if value not in known:
        raise UsageError(
            f"--recompute {condition}: nothing in this plan is of that {what}"
            f"{nearest(value, known)} (there: {', '.join(sorted(known)) or 'none'})"
        )
    return known[value]


def _by_name(plan: Plan, what: str) -> dict[str, set[str]]:
    """The stages of each kind, or of each component of a kind."""
    found: dict[str, set[str]] = defaultdict(set)
    for key, stage in plan.stages.items():
        named = (name for kind, name in components_of(stage) if kind == f"{what}s")
        for name in [stage.kind] if what == "kind" else named:
            found[name].add(key)
    if what == "method":
        for group in plan.groups:
            found[group.method.label].update(c.unlearn for c in group.candidates)
    return found
