"""The plan: a pure function of the spec that never holds the same work twice."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from itertools import product
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from conftest import ROOT, TINY, Cli
from harness.plan.plan import Plan
from harness.plan.protocol import compile_plan
from harness.plan.stage import identity
from harness.spec.load import load_spec
from harness.spec.structure import structure, structure_use
from harness.spec.sweeps import assignments, substitute

GRID = ROOT / "tests" / "plan" / "official_grid.yaml"


def plan_of(**changes: object) -> Plan:
    return compile_plan(structure({**yaml.safe_load(TINY), **changes}))


def kinds(plan: Plan) -> dict[str, int]:
    return dict(Counter(stage.kind for stage in plan.stages.values()))


def test_one_base_model_serves_every_method_candidate_and_discovered_share() -> None:
    # 2 shares x (retrain, 2 ssd candidates), and none, which does not look at what is forgotten;
    # SSD's importance of all data is one for both.
    assert kinds(plan_of()) == {
        "corrupt": 1, "train": 1, "prepare": 3, "unlearn": 7, "evaluate": 7,
    }  # fmt: skip


def test_what_looks_at_the_forget_set_is_measured_for_each() -> None:
    plan = plan_of(methods=["none"], metrics=["clean_accuracy", "forget_accuracy"])
    assert kinds(plan)["unlearn"] == 1
    assert kinds(plan)["evaluate"] == 2


def test_adding_a_method_changes_no_key_of_the_others() -> None:
    plain = yaml.safe_load(TINY)
    more = {**plain, "methods": [*plain["methods"], "finetune"]}
    assert set(plan_of().stages) < set(compile_plan(structure(more)).stages)


def test_adding_a_metric_changes_only_evaluate_keys() -> None:
    before, after = plan_of(), plan_of(metrics=["clean_accuracy", "attack_success_rate",
                                               "unlearned_gain", "accuracy_drop", "healed"])  # fmt: skip
    same = set(before.stages) & set(after.stages)
    changed = {before.stages[k].kind for k in set(before.stages) - same}
    assert changed == {"evaluate"}


def test_formatting_labels_and_order_do_not_change_keys() -> None:
    plain = yaml.safe_load(TINY)
    plain["methods"] = [{"name": "none", "label": "other"}, *reversed(plain["methods"][1:])]
    plain["note"] = "changed"
    assert set(compile_plan(structure(plain)).stages) == set(plan_of().stages)


def test_one_and_one_point_zero_are_one_number_to_a_key() -> None:
    first, second = (
        structure_use("methods", {"name": "ssd", "alpha": value}) for value in (10, 10.0)
    )
    assert identity(first) == identity(second)


def test_seeds_share_nothing_but_the_spec() -> None:
    plan = plan_of(seeds=[0, 1])
    assert kinds(plan) == {kind: 2 * n for kind, n in kinds(plan_of()).items()}


def test_inputs_come_before_the_stages_that_read_them() -> None:
    seen: set[str] = set()
    for key, stage in plan_of(seeds=[0, 1]).stages.items():
        assert {source for _, source in stage.inputs} <= seen
        seen.add(key)


def test_a_metric_that_compares_with_retraining_adds_it_once() -> None:
    plain = yaml.safe_load(TINY)
    plain["metrics"] = ["retrain_distance"]
    plain["methods"] = ["none"]
    names = Counter(
        stage.uses[0].name
        for stage in compile_plan(structure(plain)).stages.values()
        if stage.kind == "unlearn"
    )
    assert names == {"none": 1, "retrain": 2}


scalars = st.integers(-5, 5)
sweep = st.lists(scalars, min_size=1, max_size=4).map(lambda v: {"sweep": v})
tree = st.recursive(
    scalars | sweep,
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=5,
)


@given(tree)
def test_sweeps_span_the_product_of_their_values(data: object) -> None:
    def slow(node: object) -> list:
        if isinstance(node, dict) and "sweep" in node:
            return list(node["sweep"])
        if isinstance(node, dict):
            return [
                dict(zip(node, values, strict=True))
                for values in product(*map(slow, node.values()))
            ]
        return [node]

    fast = [substitute(data, point) for point in assignments(data)]
    assert Counter(map(repr, fast)) == Counter(map(repr, slow(data)))


@given(st.lists(scalars, min_size=1, max_size=4), st.lists(scalars, min_size=1, max_size=3))
def test_zipped_sweeps_advance_together_and_multiply_with_others(a: list, other: list) -> None:
    data = {"x": {"sweep": a, "zip": "g"}, "y": {"sweep": [v + 1 for v in a], "zip": "g"},
            "z": {"sweep": other}}  # fmt: skip
    points = [substitute(data, point) for point in assignments(data)]
    assert len(points) == len(a) * len(other)
    assert all(point["y"] == point["x"] + 1 for point in points)


def test_a_grid_of_the_official_size_needs_few_unique_trainings() -> None:
    plan = compile_plan(load_spec(GRID))
    found = kinds(plan)
    assert plan.points == 1950
    assert found["train"] == 3
    assert found["prepare"] == 60  # one pass on the retain set and one on the forget set a setting
    full = [s for s in plan.stages.values() if s.kind == "unlearn" and s.uses[0].name == "retrain"]
    assert len([s for s in full if s.uses[0].settings.steps is None]) == 30


def test_plan_as_json_lists_every_stage(cli: Cli, tiny: Path) -> None:
    shown = json.loads(cli("plan", tiny, "--json").stdout)
    assert shown["stages"] == len(shown["graph"]) == 19
    assert shown["points"] == 8
    assert shown["kinds"]["train"]["flops_left"] > 0


def test_only_keeps_what_the_named_rows_need(cli: Cli, tiny: Path) -> None:
    done = cli("plan", tiny, "--json", "--only", "method=none", "--only", "discovered=0.5")
    shown = json.loads(done.stdout)
    assert Counter(stage["kind"] for stage in shown["graph"]) == {
        "corrupt": 1, "train": 1, "unlearn": 1, "evaluate": 1,
    }  # fmt: skip
    wrong = cli("plan", tiny, "--only", "method=sd")
    assert wrong.returncode == 2
    assert "did you mean 'ssd'" in wrong.stderr


@pytest.mark.parametrize("command", [["validate", "specs/quickstart.yaml"], ["--help"]])
def test_commands_that_need_no_tensor_import_no_torch(command: list[str]) -> None:
    code = (
        "import sys\nfrom harness.cli import main\nsys.argv[1:] = " + repr(command) + "\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\nassert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


def test_compiling_a_plan_imports_no_torch() -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom harness.spec.load import load_spec\n"
        "from harness.plan.protocol import compile_plan\n"
        "compile_plan(load_spec(Path('specs/quickstart.yaml')))\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_plan_in_print_tells_trainings_retrainings_preparations_and_searches(
    cli: Cli, tiny: Path
) -> None:
    shown = cli("plan", tiny)
    assert shown.returncode == 0, shown.stderr
    found = {
        what: int(stages)
        for what, stages in re.findall(
            r"^\w+ +([a-z][a-z ]+?)  +(\d+) +0 ", shown.stdout, re.MULTILINE
        )
    }
    assert found == {
        "trainings": 1,
        "preparations": 3,
        "retrainings": 2,
        "candidates of searches": 4,
        "without a search": 1,
    }
    assert "this device" not in shown.stdout  # is measured on a terminal, or where it is asked for


def test_hours_on_this_device_stand_beside_the_budget_once_they_are_asked_for(
    cli: Cli, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.execute import calibrate

    monkeypatch.setattr(calibrate, "SECONDS", 0.01)
    tiny.write_text(TINY.replace("seeds: [0]", "seeds: [0]\nbudget: {cpu_hours: 2}"))
    shown = cli("plan", tiny, "--calibrate").stdout
    assert re.search(
        r"^budget: cpu_hours 2.0\nthis device \(cpu\): about \d+ s for the rest, one stage after "
        r"another, at [\d.]+ [MGT]FLOP/s",
        shown,
        re.MULTILINE,
    )


def test_what_is_there_costs_nothing_in_a_plan(cli: Cli, tiny: Path, finished: Path) -> None:
    shown = json.loads(cli("plan", tiny, "--json").stdout)
    assert shown["flops_left"] == 0
    assert all(row["done"] == row["stages"] for row in shown["work"])
