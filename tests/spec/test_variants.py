"""Variants: axes of cells whose values are names for overrides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from conftest import TINY, Cli
from harness.plan.protocol import compile_plan
from harness.spec.load import load_spec

ATTACKS: dict[str, dict[str, Any]] = {
    "none": {},
    "patch": {"corruption": {"name": "badnet", "patch": 2, "share": 0.1}},
    "labels": {"corruption": {"name": "label_noise", "share": 0.2}},
    "narrow": {"model.widths": [4], "train.optimizer.lr": 0.1},
}
DEFENCES: dict[str, dict[str, Any]] = {
    "none": {},
    "crop": {"data.augment": {"append": [{"name": "random_crop", "padding": 1}]}},
}
PLAIN: dict[str, Any] = {
    **yaml.safe_load(TINY),
    "corruption": "none",
    "data": {
        "dataset": "digits",
        "train_samples": 80,
        "test_samples": 40,
        "augment": ["horizontal_flip"],
    },
    "forget": {"set": "random", "share": 0.1},
    "methods": ["none"],
    "metrics": ["clean_accuracy"],
    "profiles": {"one": {"variants.attack.narrow": None}},
}


def written(folder: Path, variants: Any, **changes: Any) -> Path:
    file = folder / "own.yaml"
    file.write_text(yaml.safe_dump({**PLAIN, "variants": variants, **changes}, sort_keys=False))
    return file


def refused(cli: Cli, file: Path) -> str:
    found = cli("validate", file)
    assert found.returncode == 2
    return found.stderr


@given(attack=st.sampled_from(list(ATTACKS)), defence=st.sampled_from(list(DEFENCES)))
def test_a_cell_has_the_stages_of_the_spec_that_says_the_same_without_variants(
    tmp_path_factory: pytest.TempPathFactory, attack: str, defence: str
) -> None:
    folder = tmp_path_factory.mktemp("specs")
    whole = compile_plan(load_spec(written(folder, {"attack": ATTACKS, "defence": DEFENCES})))
    overrides = {**ATTACKS[attack], **DEFENCES[defence]}
    sets = [f"{path}={json.dumps(value)}" for path, value in overrides.items()]
    alone = compile_plan(load_spec(written(folder, {}, profiles={}), sets=sets))
    [here] = (
        group
        for choice in whole.choices
        for group in choice.groups
        if group.cell.point == {"attack": attack, "defence": defence}
    )
    [there] = (group for choice in alone.choices for group in choice.groups)
    assert here.candidates[0].evaluate == there.candidates[0].evaluate


def test_a_run_can_take_one_variant_and_its_report_knows_all(cli: Cli, tmp_path: Path) -> None:
    file = written(tmp_path, {"attack": ATTACKS, "defence": DEFENCES})
    one = ("--jobs", 1, "--out", "out")
    done = cli("run", file, "--only", "attack=patch", "--only", "defence=crop", *one)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["cell"] for row in found["rows"]] == [{"attack": "patch", "defence": "crop"}]
    assert found["order"]["axes"] == ["attack", "defence"]
    assert len(found["order"]["cells"]) == len(ATTACKS) * len(DEFENCES)
    named = {f"{c['kind']} {c['name']}" for c in found["components"]}
    assert {"corruptions label_noise", "augmentations random_crop"} <= named
    assert cli("report", "out").returncode == 0
    for strange in (
        ["none"],
        {"none": 1},
        {"none": {"seeds": "x"}},
        {"none": {"seeds.model.x": 1}},
        {"none": {"seeds": {"data": {"count": 10**5}, "model": {"count": 10**5}}}},
    ):
        found["spec"]["variants"] = {"attack": strange}  # a stranger's
        (tmp_path / "out" / "results.json").write_text(json.dumps(found))
        shown = cli("report", "out")
        assert shown.returncode == 2
        assert "results.json" in shown.stderr


FEWER: dict[str, dict[str, Any]] = {
    "attack": {**ATTACKS, "patch": {**ATTACKS["patch"], "seeds": [0, 1]}},
    "defence": {**DEFENCES, "crop": {**DEFENCES["crop"], "seeds": [1, 2, 7]}},
}


def test_a_cell_is_repeated_with_the_seeds_that_all_its_variants_have(tmp_path: Path) -> None:
    plan = compile_plan(load_spec(written(tmp_path, FEWER, seeds=[0, 1, 2])))
    found: dict[tuple[str, str], set[int]] = {}
    for choice in plan.choices:
        for group in choice.groups:
            point = group.cell.point["attack"], group.cell.point["defence"]
            found.setdefault(point, set()).add(group.cell.seeds.data)
    assert found == {
        (attack, defence): {0, 1, 2}
        & ({0, 1} if attack == "patch" else {0, 1, 2})
        & ({1, 2} if defence == "crop" else {0, 1, 2})
        for attack in ATTACKS
        for defence in DEFENCES
    }


def test_seeds_of_one_axis_can_be_fewer_in_a_variant_and_the_others_stay(tmp_path: Path) -> None:
    seeds = {"data": [0], "model": [0, 1], "unlearn": [0, 1]}
    variants = {"attack": {"none": {}, "narrow": {"seeds.model": [1]}}}
    plan = compile_plan(load_spec(written(tmp_path, variants, seeds=seeds)))
    labels = [
        (group.cell.point["attack"], group.cell.seeds.label)
        for choice in plan.choices
        for group in choice.groups
    ]
    assert labels.count(("narrow", "0/1/0")) == labels.count(("narrow", "0/1/1")) == 1
    assert len(labels) == 6


def test_a_report_misses_nothing_where_a_variant_has_fewer_seeds(cli: Cli, tmp_path: Path) -> None:
    attacks = {"none": {}, "narrow": {**ATTACKS["narrow"], "seeds": [1]}}
    figure = {"title": "By attack", "show": "curves", "x": "attack", "y": "clean_accuracy"}
    file = written(tmp_path, {"attack": attacks}, seeds=[0, 1], figures=[figure])
    done = cli("run", file, "--jobs", 1, "--out", "out")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [(row["cell"]["attack"], row["seed"]) for row in found["rows"]] == [
        ("none", 0),
        ("none", 1),
        ("narrow", 1),
    ]
    report = (tmp_path / "out" / "report.md").read_text()
    assert "3 of 3 results are there" in report
    assert "1 of 2" not in report


def test_a_profile_can_take_a_variant_away(tmp_path: Path) -> None:
    file = written(tmp_path, {"attack": ATTACKS})
    assert len(compile_plan(load_spec(file, "one")).choices) == len(ATTACKS) - 1


def test_what_is_wrong_in_a_variant_is_said_with_its_name_and_place(
    cli: Cli, tmp_path: Path
) -> None:
    wrong = {"attack": {**ATTACKS, "patch": {"corruption": {"name": "badnet", "pach": 2}}}}
    said = refused(cli, written(tmp_path, wrong))
    assert "in variant attack=patch: unknown key 'pach'" in said
    line = next(line for line in said.splitlines() if "pach" in line)
    assert "own.yaml:" in line
    number = int(line.split("own.yaml:")[1].split(":")[0])
    assert "pach" in (tmp_path / "own.yaml").read_text().splitlines()[number - 1]


def test_what_does_not_fit_another_block_under_a_variant_is_refused(
    cli: Cli, tmp_path: Path
) -> None:
    file = written(
        tmp_path,
        {"attack": {"patch": ATTACKS["patch"], "none": {"corruption": "none"}}},
        corruption=ATTACKS["patch"]["corruption"],
        forget={"set": "corrupted", "discovered": 1.0},
        profiles={},
    )
    assert "in variant attack=none: 'corrupted' needs a corruption" in refused(cli, file)


@pytest.mark.parametrize(
    ("variants", "said"),
    [
        ({"a": {"x": {"metrics": []}}}, "'metrics' is the same in all cells"),
        ({"a": {"x": {"trian.steps": 3}}}, "did you mean 'train'"),
        ({"a": {"x": {"train.steps": {"sweep": [3, 4]}}}}, "a variant has one value"),
        ({"a": {}}, "no variant; one or more are needed"),
        ({"a": {"x": {"train.steps": 3}}}, "it takes the axis train.steps away"),
        ({"a": ["x"]}, "variants.a"),
        ({"a": {"x": {"seeds": [5]}}}, "none of the spec's seeds is left for a=x"),
        ({"a": {"x": {"seeds": None}}}, "no seed"),
        ({"a": {"x": {"seeds": []}}}, "an empty list"),
        ({"a": {"x": {"seeds.model": [0]}}}, "variants.a.x"),
        ({"a": {"x": 3}}, "variants.a.x"),
    ],
)
def test_what_no_variant_can_say_is_refused(
    cli: Cli, tmp_path: Path, variants: Any, said: str
) -> None:
    train = {**PLAIN["train"], "steps": {"sweep": [5, 6]}}
    assert said in refused(cli, written(tmp_path, variants, train=train, profiles={}))


def test_more_variants_than_can_be_checked_are_refused_before_they_are(
    cli: Cli, tmp_path: Path
) -> None:
    many = {f"v{number}": {"train.steps": number + 1} for number in range(5_000)}
    said = refused(cli, written(tmp_path, {"attack": many}, profiles={}))
    assert "5,000 variants times" in said
    few = {name: many[name] for name in list(many)[:100]}
    profiles = {f"p{number}": {"seeds": [number]} for number in range(200)}
    said = refused(cli, written(tmp_path, {"attack": few}, profiles=profiles))
    assert "profiles and the overrides in them" in said
