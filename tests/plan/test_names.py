"""What people call a stage."""

from __future__ import annotations

from typing import Any

import attrs
import yaml

from conftest import TINY
from harness.plan.plan import Choice, Plan
from harness.plan.protocol import compile_plan
from harness.spec.structure import structure

SWEPT = {
    "seeds": [0, 1],
    "corruption": {"name": "badnet", "patch": 2, "count": {"sweep": [10, 20]}},
    "methods": [
        "none",
        "retrain",
        {
            "name": "ssd",
            "label": "ssd-held-out",
            "alpha": {"sweep": [5, 50]},
            "select": {"maximize": "validation_accuracy"},
        },
    ],
    "metrics": ["clean_accuracy", "validation_accuracy", "accuracy_drop"],
}


def plan_of(**changes: Any) -> Plan:
    return compile_plan(structure({**yaml.safe_load(TINY), **SWEPT, **changes}))


def names(plan: Plan) -> list[str]:
    return [plan.describe(key) for key in plan.stages]


def test_a_stage_is_called_by_its_method_cell_seed_and_candidate() -> None:
    found = names(plan_of())
    assert "unlearn ssd-held-out (count=10, discovered=0.5, seed 0; alpha=5)" in found
    assert "evaluate ssd-held-out (count=20, discovered=1, seed 1; alpha=50)" in found
    assert "evaluate retrain (count=10, discovered=1, seed 0)" in found
    assert len(set(found)) == len(found)


def test_a_stage_of_several_cells_is_called_by_what_they_share() -> None:
    found = names(plan_of())
    assert "train (count=10, seed 0)" in found
    assert "corrupt badnet (count=20, seed 1)" in found
    assert "unlearn none (count=10, seed 0)" in found
    assert "prepare fisher of forget for ssd-held-out (count=10, discovered=0.5, seed 0)" in found


def test_cells_that_others_share_as_much_with_are_counted() -> None:
    plan = plan_of()
    few = [group for group in plan.groups if group.method.label == "none"]
    one = [attrs.evolve(group, candidates=few[0].candidates) for group in (few[0], few[-1])]
    plan = attrs.evolve(plan, choices=tuple(Choice((group,)) for group in [*one, *few[1:-1]]))
    name = plan.describe(few[0].candidates[0].evaluate)
    assert name == "evaluate none (count=10, discovered=1, seed 0 and 2 more cells)"


def test_one_candidate_of_two_entries_is_called_by_both() -> None:
    fixed = {"name": "ssd", "label": "ssd-fixed", "alpha": 5}
    found = names(plan_of(methods=[*SWEPT["methods"], fixed]))
    assert "unlearn ssd-held-out, ssd-fixed (count=10, discovered=1, seed 0; alpha=5)" in found
    assert "unlearn ssd-held-out (count=10, discovered=1, seed 0; alpha=50)" in found
