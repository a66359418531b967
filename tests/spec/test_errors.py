"""Every mistake in a spec gets one clear message with its place, exit code 2, and nothing runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import TINY, Cli

# name: (text to replace in the tiny spec, replacement, place as line:column, words of the message)
MISTAKES: dict[str, tuple[str, str, str, list[str]]] = {
    "unknown key": ("batch_size: 32", "batchsize: 32", "10:3", ["batchsize", "did you mean 'batch_size'"]),
    "wrong type": ("steps: 30", "steps: many", "9:10", ['"many"', "a whole number"]),
    "number out of range": ("lr: 0.05", "lr: -1", "11:30", ["-1", "more than 0"]),
    "unknown component": ("name: badnet", "name: badnett", "6:20", ["badnett", "did you mean 'badnet'", "class_swap"]),
    "unknown component setting": ("patch: 2", "patches: 2", "6:28", ["patches", "did you mean 'patch'"]),
    "missing required": ("version: 1.0.0\n", "", "1:1", ["'version'", "missing"]),
    "duplicate key": ("seeds: [0]", "seeds: [0]\nseeds: [1]", "5:1", ["duplicate key 'seeds'", "line 4"]),
    "a sweep where nothing makes cells": ("id: tiny", "id: {sweep: [tiny]}", "2:5", ["sweep", "a string is needed"]),
    "bad syntax": ("seeds: [0]", "seeds: [0", "5:5", ["not valid YAML"]),
    "tab indentation": ("  batch_size: 32", "\tbatch_size: 32", "10:1", ["tab"]),
    "a tag": ("id: tiny", "id: !!python/object:os.system tiny", "2:5", ["python/object", "not allowed"]),
    "empty sweep": ("sweep: [1.0, 0.5]", "sweep: []", "12:46", ["empty list"]),
    "zip of different lengths": (
        "share: 0.1}",
        "share: {sweep: [0.1, 0.2], zip: a}, value: {sweep: [1, 0.5, 0.2], zip: a}}",
        "6:98",
        ["zip", "3 values", "2 values of corruption.share"],
    ),
    "select over an unmeasured metric": ("-accuracy_drop)", "-acuracy_drop)", "18:24", ["acuracy_drop", "did you mean 'accuracy_drop'"]),
    "select that is no expression": ('"mean(unlearned_gain, -accuracy_drop)"', '"__import__(1)"', "18:24", ["not allowed"]),
    "claim about a method that does not run": (
        "profiles:",
        "claims: [{metric: cost_share, method: scrub, value: 1, unit: '%', where: Table 1, tolerance: 1}]\nprofiles:",
        "20:39",
        ["'scrub'", "does not run", "retrain"],
    ),
    "claim without a unit": (
        "profiles:",
        'claims: [{metric: clean_accuracy, method: ssd, where: T1, tolerance: 1, value: 93.7}]\nprofiles:',
        "20:10",
        ["'unit' is missing", 'share, % or points'],
    ),
    "claim in a unit that the metric does not have": (
        "profiles:",
        'claims: [{metric: clean_accuracy, method: ssd, where: T1, tolerance: 1, value: 93.7, unit: s}]\nprofiles:',
        "20:92",
        ["'s'", 'is a share', '%'],
    ),
    "claim of 93.7 against a share": (
        "profiles:",
        'claims: [{metric: clean_accuracy, method: ssd, where: T1, tolerance: 1, value: 93.7, unit: share}]\nprofiles:',
        "20:80",
        ['93.7', '0 to 1', 'unit: "%"'],
    ),
    "claim of more than all": (
        "profiles:",
        "claims: [{metric: clean_accuracy, method: ssd, where: T1, tolerance: 1, value: 937, unit: '%'}]\nprofiles:",
        "20:80",
        ['937', '0 to 100'],
    ),
    "claim of an unknown kind": (
        "profiles:",
        'claims: [{claim: ordr, metric: clean_accuracy, methods: [ssd, none], where: T1}]\nprofiles:',
        "20:18",
        ['ordr', "did you mean 'order'", 'does_not_remove'],
    ),
    "claim of an order with an unknown key": (
        "profiles:",
        'claims: [{claim: order, metric: clean_accuracy, methods: [ssd, none], where: T1, value: 3}]\nprofiles:',
        "20:82",
        ["'value'", 'unknown key', 'methods'],
    ),
    "claim of an order of one": (
        "profiles:",
        'claims: [{claim: order, metric: clean_accuracy, methods: [ssd], where: T1}]\nprofiles:',
        "20:58",
        ['two or more'],
    ),
    "claim of an order of a method that does not run": (
        "profiles:",
        'claims: [{claim: order, metric: clean_accuracy, methods: [ssd, retrian], where: T1}]\nprofiles:',
        "20:58",
        ["'retrian'", "did you mean 'retrain'"],
    ),
    "claim of an order in an unmeasured metric": (
        "profiles:",
        'claims: [{claim: order, metric: clean_acuracy, methods: [ssd, none], where: T1}]\nprofiles:',
        "20:33",
        ["did you mean 'clean_accuracy'"],
    ),
    "claim of an order at an axis that is not swept": (
        "profiles:",
        'claims: [{claim: order, metric: clean_accuracy, methods: [ssd, none], where: T1, at: {discoverd: 1}}]\nprofiles:',
        "20:86",
        ["did you mean 'discovered'"],
    ),
    "claim of an order of values of an axis that is not swept": (
        "profiles:",
        'claims: [{claim: order, metric: clean_accuracy, method: none, axis: seed, values: [0, 1], where: T1}]\nprofiles:',
        "20:69",
        ["'seed' is not swept", "axes: discovered"],
    ),
    "claim of an order of a value that the axis does not have": (
        "profiles:",
        'claims: [{claim: order, metric: clean_accuracy, method: none, axis: discovered, values: [1.0, 0.55], where: T1}]\nprofiles:',
        "20:95",
        ["0.55 is no value of 'discovered'", "did you mean '0.5'", "values: 1.0, 0.5"],
    ),
    "claim of an order of one value": (
        "profiles:",
        'claims: [{claim: order, metric: clean_accuracy, method: none, axis: discovered, values: [1.0], where: T1}]\nprofiles:',
        "20:89",
        ["found 1.0; 2 or more values"],
    ),
    "claim of an order of methods and values": (
        "profiles:",
        'claims: [{claim: order, metric: clean_accuracy, methods: [ssd, none], axis: discovered, values: [1.0, 0.5], where: T1}]\nprofiles:',
        "20:58",
        ["found methods and axis, values", "method, axis and values"],
    ),
    "claim of an order of values of no axis": (
        "profiles:",
        'claims: [{claim: order, metric: clean_accuracy, method: none, values: [1.0, 0.5], where: T1}]\nprofiles:',
        "20:10",
        ["found method, values", "method, axis and values"],
    ),
    "claim of an order of nothing": (
        "profiles:",
        'claims: [{claim: order, metric: clean_accuracy, where: T1}]\nprofiles:',
        "20:10",
        ["two or more methods", "method, axis and values"],
    ),
    "claim of an order of values that are fixed": (
        "profiles:",
        'claims: [{claim: order, metric: clean_accuracy, method: none, axis: discovered, values: [1.0, 0.5], at: {discovered: 1.0}, where: T1}]\nprofiles:',
        "20:69",
        ["leave it out of over and at"],
    ),
    "claim of one order of too few values": (
        "profiles:",
        'claims: [{claim: same_order, metric: clean_accuracy, like: cost_share, method: none, axis: discovered, where: T1}]\nprofiles:',
        "20:10",
        ["found 1.0, 0.5; 4 or more values"],
    ),
    "claim of the order of an unmeasured metric": (
        "profiles:",
        'claims: [{claim: same_order, metric: clean_accuracy, like: cost_shre, method: none, axis: discoverd, where: T1}]\nprofiles:',
        "20:60",
        ["did you mean 'cost_share'", "did you mean 'discovered'"],
    ),
    "claim of the order of one metric": (
        "profiles:",
        'claims: [{claim: same_order, metric: clean_accuracy, like: clean_accuracy, method: none, axis: discovered, where: T1}]\nprofiles:',
        "20:60",
        ["'clean_accuracy' is compared with itself"],
    ),
    "claim that a method that does not run removes": (
        "profiles:",
        "claims: [{claim: removes, metric: clean_accuracy, method: '*', against: retrian, where: T1}]\nprofiles:",
        "20:73",
        ["'retrian'", "did you mean 'retrain'"],
    ),
    "claim against itself": (
        "profiles:",
        'claims: [{claim: does_not_remove, metric: clean_accuracy, method: ssd, against: ssd, where: T1}]\nprofiles:',
        "20:81",
        ['itself'],
    ),
    "claim over several specs in a spec": (
        "profiles:",
        "claims: [{metric: clean_accuracy, method: ssd, where: T1, tolerance: 1, value: 9, unit: '%', specs: [tiny]}]\nprofiles:",
        "20:101",
        ['claims file'],
    ),
    "profile path that does not exist": ("train.steps: 5", "train.stepps: 5", "21:11", ["stepps", "did you mean 'steps'", "smoke"]),
    "profile of a block that does not exist": ("train.steps: 5", "trane.steps: 5", "21:11", ["trane", "did you mean 'train'", "smoke"]),
    "both a share and a count": ("share: 0.1", "share: 0.1, count: 5", "6:74", ["both", "exactly one of share, count"]),
    "neither a share nor a count": (", share: 0.1", "", "6:13", ["neither", "exactly one of share, count"]),
    "profile of a method that does not run": ("methods.ssd.alpha", "methods.scrub.alpha", "21:27", ["scrub", "ssd"]),
    "unknown language version": ("harness: 1", "harness: 2", "1:10", ["version 2", "knows 1"]),
    "both steps and epochs": ("steps: 30", "steps: 30\n  epochs: 2", "9:3", ["both", "exactly one"]),
    "candidates without select": ('    select: {maximize: "mean(unlearned_gain, -accuracy_drop)"}\n', "", "16:5", ["2 candidates", "select"]),
    "two methods of one name": ("  - retrain", "  - none", "15:5", ["two methods", "label"]),
    "a metric that needs a trigger": ("{name: badnet, patch: 2, place: top_left, share: 0.1}", "{name: label_noise, share: 0.1}", "19:27", ["trigger"]),
    "an alias inside itself": ("seeds: [0]", "seeds: &a [*a]", "4:8", ["inside itself"]),
    "a component that needs settings": ("forget: {set: corrupted, discovered: {sweep: [1.0, 0.5]}}", "forget: group", "12:9", ["needs settings", "file"]),
    "a list instead of a mapping": ("seeds: [0]", "seeds: [0]\nbudget: [1]", "5:9", ["a mapping"]),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_place(mistake: str, cli: Cli, tmp_path: Path) -> None:
    found, replacement, place, words = MISTAKES[mistake]
    assert found in TINY
    (tmp_path / "bad.yaml").write_text(TINY.replace(found, replacement, 1))
    done = cli("run", "bad.yaml")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert any(line.startswith(f"bad.yaml:{place}:") for line in done.stderr.splitlines()) or (
        f"harness: bad.yaml:{place}:" in done.stderr
    ), done.stderr
    for word in words:
        assert word in done.stderr
    assert not (tmp_path / "store").exists(), "something ran"
    assert not (tmp_path / "results").exists()


def test_all_mistakes_of_a_file_are_reported_at_once(cli: Cli, tmp_path: Path) -> None:
    text = TINY.replace("batch_size", "batchsize").replace("lr: 0.05", "lr: -1")
    (tmp_path / "bad.yaml").write_text(text.replace("name: badnet", "name: badnett"))
    lines = cli("validate", "bad.yaml").stderr.splitlines()
    assert [line.split(":")[1] for line in lines if line.startswith("bad.yaml")] == [
        "6",
        "10",
        "11",
    ]


def test_an_alias_bomb_is_refused(cli: Cli, tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
    )
    (tmp_path / "bomb.yaml").write_text(bomb)
    done = cli("validate", "bomb.yaml")
    assert done.returncode == 2
    assert "once aliases are followed" in done.stderr


def test_a_file_over_one_mebibyte_is_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "big.yaml").write_text(TINY + "# " + "x" * (1 << 20))
    done = cli("validate", "big.yaml")
    assert done.returncode == 2
    assert "1,048,576" in done.stderr


def test_extends_that_loops_is_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    done = cli("validate", "a.yaml")
    assert done.returncode == 2
    assert "loops: a.yaml -> b.yaml -> a.yaml" in done.stderr


def test_extends_that_leaves_the_spec_folder_is_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "outside.yaml").write_text(TINY)
    (tmp_path / "specs" / "a.yaml").write_text("extends: ../outside.yaml\n")
    (tmp_path / "specs" / "link.yaml").symlink_to(tmp_path / "outside.yaml")
    (tmp_path / "specs" / "b.yaml").write_text("extends: link.yaml\n")
    for name in ("a.yaml", "b.yaml"):
        done = cli("validate", f"specs/{name}")
        assert done.returncode == 2
        assert f"specs/{name}:1:10" in done.stderr
        assert "leaves the spec folder" in done.stderr


def test_a_missing_file_and_a_missing_profile_are_named(cli: Cli, tiny: Path) -> None:
    assert "cannot read the spec" in cli("run", "nowhere.yaml").stderr
    done = cli("run", tiny, "--profile", "smok")
    assert done.returncode == 2
    assert "did you mean 'smoke'" in done.stderr


def test_a_wrong_override_on_the_command_line_is_named(cli: Cli, tiny: Path) -> None:
    done = cli("plan", tiny, "--set", "train.stepz=3")
    assert done.returncode == 2
    assert "--set train.stepz=3" in done.stderr
    assert "did you mean 'steps'" in done.stderr
