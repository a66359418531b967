"""The budget of unlearning: an axis of cells that only the methods that train by it are made for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import TINY, Cli
from harness.plan.plan import Plan
from harness.plan.protocol import compile_plan
from harness.spec.structure import structure

BUDGETS = {"unlearning": {"budget": {"sweep": [0.1, 0.2]}}}
FREE = ["none", "retrain", "ssd", {"name": "finetune", "label": "own", "steps": 3}]
BOUND = ["finetune", "gradient_ascent", "negative_gradient", "random_labels", "scrub",
         "bad_teacher", {"name": "retrain_last_k", "k": 1}, {"name": "finetune_last_k", "k": 1}]  # fmt: skip

RUN = """\
harness: 1
id: budgets
version: 1.0.0
data: {dataset: digits, train_samples: 150, test_samples: 50}
corruption: {name: badnet, patch: 2, place: top_left, share: 0.1}
model: {name: mlp, hidden: [8]}
train: {epochs: 4, batch_size: 16, optimizer: {name: sgd, lr: 0.1}}
forget: {set: corrupted}
unlearning: {budget: {sweep: [0.1, 0.5]}}
methods:
  - none
  - {name: finetune, label: gd, lr: 1e-3, schedule: constant}
  - name: gradient_ascent
    label: ga
    lr: {sweep: [1e-5, 1e-4]}
    select: {maximize: "mean(clean_accuracy, -forget_accuracy)"}
  - {name: negative_gradient, label: neggrad+}
  - scrub
metrics: [clean_accuracy, forget_accuracy, cost]
"""


def plan_of(methods: list[Any], **changes: Any) -> Plan:
    plain = {**yaml.safe_load(TINY), "forget": {"set": "corrupted"}, "methods": methods}
    return compile_plan(structure({**plain, **changes}))


def unlearned(plan: Plan) -> Mapping[str, set[str]]:
    """The keys of what each method makes, over cells."""
    found: dict[str, set[str]] = {}
    for group in plan.groups:
        found.setdefault(group.method.label, set()).update(c.unlearn for c in group.candidates)
    return found


def test_a_budget_is_an_axis_and_what_it_does_not_bind_is_one_stage_for_all_budgets() -> None:
    plan = plan_of([*FREE, *BOUND], **BUDGETS)
    assert [group.cell.point for group in plan.groups[:: len(FREE + BOUND)]] == [
        {"budget": 0.1}, {"budget": 0.2}
    ]  # fmt: skip
    kinds = [stage.kind for stage in plan.stages.values()]
    assert (kinds.count("corrupt"), kinds.count("train"), kinds.count("prepare")) == (1, 1, 2)
    counts = {label: len(keys) for label, keys in unlearned(plan).items()}
    free = ["none", "retrain", "ssd", "own"]
    assert [label for label, count in counts.items() if count == 1] == free
    assert set(counts.values()) == {1, 2}
    # And what it does not bind has the keys that it has in a spec without a budget.
    assert unlearned(plan_of(FREE)) == {label: unlearned(plan)[label] for label in free}


def test_one_budget_is_no_axis_and_the_same_stages_as_in_a_sweep() -> None:
    one = plan_of(BOUND, unlearning={"budget": 0.2})
    assert one.groups[0].cell.point == {}
    assert set(one.stages) < set(plan_of(BOUND, **BUDGETS).stages)


def test_a_length_that_is_left_out_without_a_budget_is_the_one_that_it_always_was() -> None:
    written = [
        {"name": "gradient_ascent", "epochs": 1.0},
        {"name": "negative_gradient", "epochs": 1.0},
        {"name": "random_labels", "epochs": 1.0},
        {"name": "bad_teacher", "epochs": 1.0},
        {"name": "scrub", "epochs": 3},
    ]
    assert unlearned(plan_of(written)) == unlearned(plan_of([use["name"] for use in written]))


def test_the_cost_that_a_plan_foresees_is_the_budget() -> None:
    from harness.plan.cost import samples_of

    plan = plan_of(BOUND, unlearning={"budget": 0.5})
    [base] = [stage for stage in plan.stages.values() if stage.kind == "train"]
    foreseen = {
        stage.uses[0].name: samples_of(stage).backward / samples_of(base).backward
        for stage in plan.stages.values()
        if stage.kind == "unlearn"
    }
    assert foreseen == dict.fromkeys(foreseen, 0.5)
    assert len(foreseen) == len(BOUND)


@pytest.mark.parametrize(
    ("budget", "methods", "said"),
    [
        ("1.5", "[finetune]", "unlearning.budget: found 1.5; at most 1 is allowed"),
        ("0", "[finetune]", "found 0; more than 0 is allowed"),
        ("0.1", "[none, {name: finetune, epochs: 1}]", "unlearning.budget: a budget, and each"),
    ],
)
def test_a_budget_that_cannot_be_is_refused(
    budget: str, methods: str, said: str, tmp_path: Path, cli: Cli
) -> None:
    spec = yaml.safe_load(TINY) | {"methods": yaml.safe_load(methods)}
    spec |= {"unlearning": {"budget": yaml.safe_load(budget)}, "profiles": {}}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    done = cli("validate", "spec.yaml")
    assert done.returncode == 2
    assert said in done.stderr


def test_validate_says_which_methods_a_budget_does_not_bind(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "spec.yaml").write_text(RUN.replace("  - scrub", "  - {name: scrub, epochs: 1}"))
    done = cli("validate", "spec.yaml")
    assert done.returncode == 0, done.stderr
    assert (
        "unlearning.budget is the length of gd, ga, neggrad+. It is not that of none, scrub,"
        in (done.stdout)
    )


def test_methods_cost_their_budget_and_the_report_says_what_stands_in_every_row(
    tmp_path: Path, cli: Cli
) -> None:
    (tmp_path / "spec.yaml").write_text(RUN)
    done = cli("run", "spec.yaml", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "results" / "budgets" / "default"
    rows = json.loads((folder / "results.json").read_text())["rows"]
    base = 4 * 150  # samples of the base training

    def meter(key: str) -> dict[str, int]:
        [record] = (tmp_path / "store" / "unlearn").glob(f"*/{key}/record.json")
        found: dict[str, int] = json.loads(record.read_text())["content"]["record"]["meter"]
        return found

    costs = {(r["method"], r["cell"]["budget"]): meter(r["keys"]["unlearn"]) for r in rows}
    for (method, budget), cost in costs.items():
        batches = 2 if method == "neggrad+" else 1
        least = 0 if method == "none" else budget * base - 16 * batches + 1
        most = 0 if method == "none" else budget * base
        assert least <= cost["backward"] <= most, (method, budget)
        teachers = cost["backward"] if method == "scrub" else 0
        assert cost["forward"] == cost["backward"] + teachers
    report = (folder / "report.md").read_text()
    assert "Not set by the budget, the same at each: none." in report
    # The rule that chose stands beside what it chose.
    chosen = [row["candidate"]["lr"] for row in rows if row["method"] == "ga" and row["selected"]]
    [line] = [
        line for line in report.splitlines() if line.startswith("| ga ") and "maximize" in line
    ]
    assert "maximize mean(clean_accuracy, -forget_accuracy)" in line
    assert all(f"lr={lr}" in line for lr in chosen)
