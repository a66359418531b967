"""``harness diff``: what a change of a spec means, through the command line and by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from conftest import TINY, Cli
from harness.plan.cost import flops_of
from harness.plan.protocol import compile_plan
from harness.spec.changes import ABSENT, changes, claims_changed
from harness.spec.structure import structure

CLAIM = "{metric: clean_accuracy, method: ssd, value: 90, unit: '%', where: T1, tolerance: 3}"


def spec(*swaps: tuple[str, str]):
    text = TINY
    for old, new in swaps:
        assert old in text
        text = text.replace(old, new)
    return structure(yaml.safe_load(text))


def diff(cli: Cli, folder: Path, *swaps: tuple[str, str], **options: str) -> str:
    text = TINY
    for old, new in swaps:
        assert old in text
        text = text.replace(old, new)
    (folder / "old.yaml").write_text(TINY)
    (folder / "new.yaml").write_text(text)
    arguments = [f"--{name}={value}" for name, value in options.items()]
    done = cli("diff", "old.yaml", "new.yaml", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def row(text: str, name: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"{name} "))
    return line.split()[1:]


def test_the_same_spec_written_otherwise_says_the_same(cli: Cli, tmp_path: Path) -> None:
    written = ("batch_size: 32", "batch_size: 32.0\n  label_smoothing: 0")
    assert "Both say the same." in diff(cli, tmp_path, written)


def test_texts_choices_and_claims_change_no_stage(cli: Cli, tmp_path: Path) -> None:
    shown = diff(
        cli,
        tmp_path,
        ("id: tiny", "id: tiny\nnote: a new text\nbudget: {cpu_hours: 1}"),
        ("maximize: ", "minimize: "),
        ("profiles:", f"claims: [{CLAIM}]\nprofiles:"),
    )
    assert "every stage that is needed keeps its key" in shown
    assert "computed from" not in shown
    for word in ("note", "budget.cpu_hours", "methods.ssd.select.minimize", "added"):
        assert word in shown
    every = str(len(compile_plan(spec()).stages))
    assert row(shown, "all")[:5] == [every, every, every, "0", "0"]


def test_a_new_candidate_adds_its_own_stages_only(cli: Cli, tmp_path: Path) -> None:
    shown = diff(cli, tmp_path, ("[5, 50]", "[5, 50, 500]"))
    assert row(shown, "train")[:5] == ["1", "1", "1", "0", "0"]
    assert row(shown, "unlearn")[3:5] == ["2", "0"]
    assert row(shown, "evaluate")[3:5] == ["2", "0"]
    assert row(shown, "all")[3:5] == ["4", "0"]
    assert "points of the tables  8" in shown
    assert '{"sweep": [5.0, 50.0, 500.0]}' in shown


def test_the_flops_are_those_of_the_plans(cli: Cli, tmp_path: Path) -> None:
    shown = diff(cli, tmp_path, ("steps: 30", "steps: 60"))
    before, after = (
        sum(flops_of(s) for s in compile_plan(spec(*swaps)).stages.values() if s.kind == "train")
        for swaps in ((), [("steps: 30", "steps: 60")])
    )
    assert after == 2 * before
    assert row(shown, "train")[5:] == [
        f"{before / 1e6:.2f}", "M", f"{after / 1e6:.2f}", "M", f"{after / 1e6:.2f}", "M",
    ]  # fmt: skip
    assert row(shown, "corrupt")[:5] == ["1", "1", "1", "0", "0"]


def test_methods_metrics_seeds_and_data_are_named(cli: Cli, tmp_path: Path) -> None:
    shown = diff(
        cli,
        tmp_path,
        ("- none", "- {name: finetune, steps: 3}"),
        ("unlearned_gain, accuracy_drop, cost]", "unlearned_gain, accuracy_drop, healed]"),
        ("seeds: [0]", "seeds: [0, 4]"),
    )
    assert "added finetune, removed none" in shown
    assert "added healed, removed cost" in shown
    assert "0, 4" in shown


def test_a_profile_is_applied_to_both(cli: Cli, tmp_path: Path) -> None:
    swap = ("train.steps: 5", "train.steps: 6")
    plain = diff(cli, tmp_path, swap)
    assert "profiles.smoke.train.steps" in plain
    assert "keeps its key" in plain
    applied = diff(cli, tmp_path, swap, profile="smoke")
    assert row(applied, "train.steps") == ["5", "6"]


def test_markdown_is_escaped(cli: Cli, tmp_path: Path) -> None:
    nasty = "<b>|x|</b> `y` *z*"
    shown = diff(cli, tmp_path, ("id: tiny", f'id: tiny\nnote: "{nasty}"'), format="markdown")
    assert shown.startswith("## tiny 1.0.0")
    assert nasty not in shown
    assert r"\<b\>\|x\|\</b\> \`y\` \*z\*" in shown


@pytest.mark.parametrize("wrong", ["old", "new"])
def test_a_wrong_spec_ends_with_code_2(cli: Cli, tmp_path: Path, wrong: str) -> None:
    for name in ("old", "new"):
        text = TINY.replace("badnet", "badnett") if name == wrong else TINY
        (tmp_path / f"{name}.yaml").write_text(text)
    done = cli("diff", "old.yaml", "new.yaml")
    assert done.returncode == 2
    assert f"{wrong}.yaml:6" in done.stderr
    assert cli("diff", "old.yaml", "nowhere.yaml").returncode == 2


def test_another_component_is_one_change() -> None:
    found = changes(spec(), spec(("{name: small_cnn, widths: [8, 16]}", "resnet9")))
    assert [change.path for change in found] == [("model",)]
    assert found[0].old["name"] == "small_cnn"


def test_the_order_of_metrics_counts() -> None:
    swap = ("clean_accuracy, attack_success_rate", "attack_success_rate, clean_accuracy")
    old, new = spec(), spec(swap)
    (found,) = changes(old, new)
    assert found.path == ("metrics", "order")
    assert found.changes_stages
    assert compile_plan(old).stages.keys() != compile_plan(new).stages.keys()


def test_no_change_that_is_said_to_change_no_stage_does() -> None:
    """Every change of the kinds above alone leaves all keys as they are, and the others do not."""
    swaps = [
        ("id: tiny", "id: other"),
        ("version: 1.0.0", "version: 2.0.0\nnote: text\nbudget: {exaflop: 3}"),
        ("maximize: ", "minimize: "),
        ("  - retrain", "  - {name: retrain, keep: true, max_cost: 4}"),
        ("smoke: {train.steps: 5", "smoke: {train.steps: 6"),
        ("lr: 0.05", "lr: 0.06"),
        ("place: top_left", "place: bottom_right"),
        ("discovered: {sweep: [1.0, 0.5]}", "discovered: {sweep: [1.0, 0.25]}"),
        ("validation: 0.1", "validation: 0.2"),
    ]
    for swap in swaps:
        found = changes(spec(), spec(swap))
        assert found, swap
        same = compile_plan(spec()).stages.keys() == compile_plan(spec(swap)).stages.keys()
        assert same == (not any(change.changes_stages for change in found)), swap


def test_claims_are_matched_by_what_they_are_about() -> None:
    claim = yaml.safe_load(CLAIM)
    old = structure({**yaml.safe_load(TINY), "claims": [claim]})
    wider = structure({**yaml.safe_load(TINY), "claims": [{**claim, "tolerance": 9}]})
    moved = structure({**yaml.safe_load(TINY), "claims": [{**claim, "where": "Table 9"}]})
    assert [how for how, _ in claims_changed(old, wider)] == ["changed"]
    assert [how for how, _ in claims_changed(old, moved)] == ["removed", "added"]
    assert claims_changed(old, old) == []
    assert changes(old, wider) == []


def test_a_value_that_a_spec_lacks_is_absent() -> None:
    found = changes(spec(), spec(("  - none\n", "")))
    assert [(c.path, c.new) for c in found] == [(("methods", "none"), ABSENT)]
