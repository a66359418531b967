"""Where values come from: what entries cover, what profiles and the command line change."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import ROOT, TINY
from harness.plan.protocol import compile_plan
from harness.spec.load import load_spec, load_with_origins
from harness.spec.places import SpecError
from harness.spec.structure import structure, unstructure

EVERYTHING = "[seeds, data, corruption, model, train, forget, methods, metrics]"
COVERED = f"""\
provenance:
  - {{from: ours, of: {EVERYTHING}}}
  - {{from: paper, of: [train, methods.2], where: Table 2}}
"""
TWO = "  smoke: {train.steps: 5, methods.ssd.alpha: 10}\n  official: {train.steps: 7, seeds: [1]}\n"


def written(folder: Path, provenance: str, text: str = TINY) -> Path:
    file = folder / "tiny.yaml"
    file.write_text(text + provenance)
    return file


def found(file: Path, profile: str | None = None, *sets: str) -> dict[str, tuple[str, str]]:
    rows = load_with_origins(file, profile, sets)[1]
    return {path: (origin, where) for path, _, origin, where in rows}


def refused(file: Path) -> list[str]:
    with pytest.raises(SpecError) as error:
        load_spec(file)
    return [str(problem).removeprefix(f"{file.parent}/") for problem in error.value.problems]


def test_every_value_of_the_resolved_spec_is_listed_with_its_defaults(tmp_path: Path) -> None:
    rows = load_with_origins(written(tmp_path, COVERED))[1]
    values = {path: value for path, value, _, _ in rows}
    assert len(values) == len(rows)
    assert values["seeds"] == [0]
    assert values["data.augment"] == []
    assert values["train.optimizer.momentum"] == 0.9
    assert values["forget.discovered"] == {"sweep": [1.0, 0.5]}
    assert values["methods.ssd.select.minimize"] is None
    assert values["metrics.attack_success_rate.include_target"] is False
    assert not {path.split(".")[0] for path in values} & {"claims", "budget", "paper", "id"}


def test_the_longest_path_wins_and_of_equal_ones_the_later_entry(tmp_path: Path) -> None:
    more = (
        "  - {from: secondary, of: [train.optimizer]}\n"
        "  - {from: code, of: [train.optimizer, methods.ssd.alpha], where: 'main.py:3'}\n"
        "  - {from: ours, of: [methods]}\n"
    )
    origin = found(written(tmp_path, COVERED + more))
    assert origin["seeds"] == ("ours", "")
    assert origin["train.steps"] == ("paper", "Table 2")
    assert origin["train.optimizer.lr"] == ("code", "main.py:3")
    assert origin["methods.ssd.alpha"] == ("code", "main.py:3")
    assert origin["methods.ssd.gradient"] == ("paper", "Table 2")
    assert origin["methods.retrain.steps"] == ("ours", "")


def test_a_value_without_an_entry_is_one_problem_for_its_topmost_block(tmp_path: Path) -> None:
    entry = "provenance:\n  - {from: ours, of: [seeds, methods.none, methods.ssd, data.dataset, train, forget, metrics]}\n"
    problems = refused(written(tmp_path, entry + "  - {from: ours, of: [model.name]}\n"))
    starts = [problem.split(": no entry")[0] for problem in problems]
    assert starts == [
        "tiny.yaml:5:7: data.augment",
        "tiny.yaml:5:7: data.defences",
        "tiny.yaml:5:7: data.digest",
        "tiny.yaml:5:7: data.features",
        "tiny.yaml:5:40: data.train_samples",
        "tiny.yaml:5:59: data.test_samples",
        "tiny.yaml:5:76: data.validation",
        "tiny.yaml:6:13: corruption",
        "tiny.yaml:7:34: model.widths",
        "tiny.yaml:15:5: methods[1]",
    ]
    assert "its 12 values come from" in problems[7]
    assert "of: [methods.retrain]} (from: paper, code, secondary, ours)" in problems[9]


@pytest.mark.parametrize(
    ("entry", "place", "words"),
    [
        ("of: [train.optimiser.lr]", "25:24", "no 'optimiser' in 'train'; did you mean 'optimizer'?"),
        ("of: [seeds, methods.sdd]", "25:31", "no 'sdd' in 'methods'; did you mean 'ssd'? (allowed: none, retrain, ssd)"),
        ("of: [methods.3]", "25:24", "no '3' in 'methods'"),
        ("of: [metric]", "25:24", "did you mean 'metrics'? (allowed: seeds, data"),
        ("of: [claims]", "25:24", "no 'claims' among what has an origin"),
        ("of: [train.steps.sweep]", "25:24", "'train.steps' is one value"),
        ("of: [forget.discovered.sweep]", "25:24", "'forget.discovered' is one value"),
        ("of: []", "25:23", "at least one path"),
        ("of: [train], profile: smok", "25:41", "no profile 'smok'; did you mean 'smoke'? (profiles: smoke)"),
        ("of: [trian], profile: smoke", "25:24", "in profile 'smoke': 'trian' does not exist: no 'trian' among what has an origin; did you mean 'train'?"),
        ("of: [train], where: {sweep: [a, b]}", "25:39", 'found {"sweep": ["a", "b"]}; a string is needed'),
        ("of: [train], form: x", "25:32", "unknown key 'form'"),
    ],
)  # fmt: skip
def test_a_wrong_entry_is_named_with_its_place(
    entry: str, place: str, words: str, tmp_path: Path
) -> None:
    problems = refused(written(tmp_path, COVERED + f"  - {{from: paper, {entry}}}\n"))
    assert len(problems) == 1
    assert problems[0].startswith(f"tiny.yaml:{place}: provenance[2]")
    assert words in problems[0]


def test_an_unknown_origin_is_named(tmp_path: Path) -> None:
    (problem,) = refused(written(tmp_path, COVERED.replace("paper", "papr")))
    assert problem.startswith("tiny.yaml:24:12: provenance[1].from:")
    assert "did you mean 'paper'? (allowed: " in problem


def test_what_a_profile_or_set_changes_is_ours(tmp_path: Path) -> None:
    file = written(tmp_path, COVERED)
    assert found(file)["train.steps"] == ("paper", "Table 2")
    origin = found(file, "smoke", "train.batch_size=16", "model=mlp", "train.label_smoothing=0")
    assert origin["train.steps"] == ("ours", "changed by profile smoke")
    assert origin["methods.ssd.alpha"] == ("ours", "changed by profile smoke")
    assert origin["train.batch_size"] == ("ours", "changed by --set")
    assert origin["model.name"] == origin["model.hidden"] == ("ours", "changed by --set")
    assert origin["train.label_smoothing"] == ("paper", "Table 2"), "it was 0 before"
    again = found(file, "smoke", "train.steps=6")
    assert again["train.steps"] == ("ours", "changed by --set")


def test_a_method_keeps_its_origin_when_the_list_becomes_shorter(tmp_path: Path) -> None:
    file = written(tmp_path, COVERED)
    origin = found(file, None, "methods=[{name: ssd, alpha: 5}, retrain]")
    assert origin["methods.ssd.gradient"] == ("paper", "Table 2")
    assert origin["methods.ssd.alpha"] == ("ours", "changed by --set")
    assert origin["methods.retrain.epochs"] == ("ours", "")


def test_another_component_does_not_inherit_the_origin_of_equal_settings(tmp_path: Path) -> None:
    text = COVERED + "  - {from: code, of: [train.optimizer]}\n"
    origin = found(
        written(tmp_path, text), None, "train.optimizer.name=adamw", "methods.1=finetune"
    )
    assert origin["train.optimizer.lr"] == ("ours", "changed by --set")
    assert origin["methods.finetune.name"] == ("ours", "changed by --set")


def test_an_entry_for_a_profile_counts_only_with_it(tmp_path: Path) -> None:
    entries = COVERED + (
        "  - {from: code, of: [train.steps, train.ema], where: main.py, profile: official}\n"
    )
    file = written(tmp_path, entries, TINY.replace(TINY.splitlines(True)[-1], TWO))
    assert found(file)["train.ema"] == ("paper", "Table 2")
    origin = found(file, "official")
    assert origin["train.steps"] == origin["train.ema"] == ("code", "main.py")
    assert origin["seeds"] == ("ours", "changed by profile official")
    assert found(file, "smoke")["train.steps"] == ("ours", "changed by profile smoke")
    assert found(file, "smoke,official")["train.steps"] == ("code", "main.py")
    assert found(file, "official,smoke")["train.steps"] == ("ours", "changed by profile smoke")
    by_hand = found(file, "official", "train.steps=8")
    assert by_hand["train.steps"] == ("ours", "changed by --set")


def test_profiles_apply_in_the_order_in_which_they_are_named(tmp_path: Path) -> None:
    file = written(tmp_path, "", TINY.replace(TINY.splitlines(True)[-1], TWO))
    both = load_spec(file, "smoke,official")
    assert (both.train.steps, both.seeds) == (7, (1,))
    assert both.methods[2].use.settings.alpha == 10
    assert load_spec(file, "official, smoke").train.steps == 5


def test_a_spec_without_provenance_needs_none_and_records_none(tiny: Path) -> None:
    assert set(found(tiny).values()) == {("", "")}
    assert found(tiny, "smoke")["train.steps"] == ("ours", "changed by profile smoke")
    assert load_spec(ROOT / "specs" / "quickstart.yaml").provenance == ()


def test_provenance_survives_writing_and_changes_no_key(tmp_path: Path) -> None:
    plain = compile_plan(load_spec(written(tmp_path, "")))
    spec = load_spec(written(tmp_path, COVERED))
    assert unstructure(spec)["provenance"][1] == {
        "from": "paper",
        "of": ["train", "methods.2"],
        "where": "Table 2",
        "profile": None,
    }
    assert structure(unstructure(spec)) == spec
    assert list(compile_plan(spec).stages) == list(plain.stages)


def extending(folder: Path, text: str) -> Path:
    written(folder, COVERED)
    file = folder / "child.yaml"
    file.write_text(f"extends: tiny.yaml\nid: child\n{text}")
    return file


def test_what_an_extending_file_changes_does_not_keep_the_origin_of_another_value(
    tmp_path: Path,
) -> None:
    file = extending(tmp_path, "train: {steps: 9, ema: 0.5}\nmodel: mlp\n")
    origin = found(file)
    assert origin["train.steps"] == origin["train.ema"] == ("ours", "changed by child.yaml")
    assert origin["model.name"] == ("ours", "changed by child.yaml")
    assert origin["train.batch_size"] == ("paper", "Table 2")
    assert found(file, "smoke")["train.steps"] == ("ours", "changed by profile smoke")
    assert found(file, None, "train.ema=0.9")["train.ema"] == ("ours", "changed by --set")


def test_entries_of_an_extending_file_count_beside_those_that_it_extends(tmp_path: Path) -> None:
    own = "provenance: [{from: code, of: [train], where: train.py}]\n"
    middle = extending(tmp_path, f"train: {{steps: 9}}\n{own}")
    origin = found(middle)
    assert origin["train.steps"] == ("code", "train.py")
    assert origin["methods.ssd.alpha"] == ("paper", "Table 2")
    assert origin["seeds"] == ("ours", "")
    last = tmp_path / "last.yaml"
    last.write_text("extends: child.yaml\nid: last\ntrain: {ema: 0.5}\n")
    origin = found(last)
    assert origin["train.steps"] == ("code", "train.py")
    assert origin["train.ema"] == ("ours", "changed by last.yaml")


def test_an_extending_file_may_take_away_what_an_entry_speaks_of(tmp_path: Path) -> None:
    origin = found(extending(tmp_path, "methods: [none, retrain]\nclaims: []\nprofiles: null\n"))
    assert origin["methods.retrain.epochs"] == ("ours", "")
    assert not any(path.startswith("methods.ssd") for path in origin)


def test_a_wrong_entry_of_an_extending_file_is_named_there(tmp_path: Path) -> None:
    (problem,) = refused(extending(tmp_path, "provenance: [{from: code, of: [train.stepz]}]\n"))
    assert problem.startswith("child.yaml:3:")
    assert "did you mean 'steps'?" in problem
