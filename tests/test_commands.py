"""The small commands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete

from conftest import ROOT, Cli
from harness import cli as command_line


def test_list_and_describe_explain_what_is_installed(cli: Cli) -> None:
    assert "retrain" in cli("list").stdout
    shown = cli("describe", "ssd").stdout
    for word in ("eqs. 5-7", "alpha", "Sees: forget", "Example:", "> 0"):
        assert word in shown
    wrong = cli("describe", "sdd")
    assert wrong.returncode == 2
    assert "did you mean 'ssd'" in wrong.stderr
    assert "did you mean 'methods'" in cli("list", "method").stderr


def test_describe_shows_what_a_data_set_declares(cli: Cli) -> None:
    shown = cli("describe", "cifar10").stdout
    assert "Facts: images of 3x32x32, 10 classes, 50,000 training samples, 10,000 test" in shown
    shown = cli("describe", "image_folder").stdout
    assert "Facts: images of 3x32x32, 10 classes, training size not declared" in shown
    assert "Example:" not in cli("describe", "fisher").stdout  # no spec can name it


def test_schema_prints_and_writes_the_same(cli: Cli, tmp_path: Path) -> None:
    printed = cli("schema").stdout
    assert cli("schema", "--write", "deep/schema.json").returncode == 0
    assert (tmp_path / "deep/schema.json").read_text() == printed
    assert json.loads(printed)["$schema"] == "http://json-schema.org/draft-07/schema#"


def test_report_prints_tables_in_every_format(cli: Cli) -> None:
    folder = ROOT / "results" / "quickstart" / "default"
    for form, word in {"github": "|", "latex": "\\toprule", "html": "<table>", "csv": ","}.items():
        done = cli("report", folder, "--format", form)
        assert done.returncode == 0
        assert word in done.stdout
    assert cli("report", "nowhere").returncode == 2


def test_report_without_a_format_writes_the_same_files_again(cli: Cli, tmp_path: Path) -> None:
    source = ROOT / "results" / "quickstart" / "default"
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "results.json").write_bytes((source / "results.json").read_bytes())
    assert cli("report", "again").returncode == 0
    for name in ("report.md", "checklist.md", "results.json"):
        assert (tmp_path / "again" / name).read_bytes() == (source / name).read_bytes()


def test_doctor_names_versions_devices_and_data(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "root" / "mnist").mkdir(parents=True)
    shown = cli("doctor", "--data-root", "root").stdout
    for word in ("torch", "cpu", "mnist", "hub"):
        assert word in shown


def test_help_lists_every_command_with_the_first_sentence_of_its_own_help(cli: Cli) -> None:
    shown = " ".join(cli("--help").stdout.split())
    context = click.Context(command_line.harness)
    for name, sentence in command_line.COMMANDS.items():
        command = command_line.harness.get_command(context, name)
        assert command is not None and command.name == name
        assert " ".join((command.help or "").split()).startswith(sentence)
        assert f"{name} {sentence}" in shown


def test_completing_a_word_imports_no_command(cli: Cli) -> None:
    words = {"COMP_WORDS": "harness re", "COMP_CWORD": "1", "_HARNESS_COMPLETE": "bash_complete"}
    code = (
        "import sys\nfrom harness.cli import main\nsys.argv = ['harness']\n"
        "try:\n    main()\nfinally:\n    assert 'harness.commands' not in sys.modules\n"
    )
    environment = {**os.environ, **words, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.split() == ["plain,report", "plain,registry"]


COMPLETED = {
    ("describe", "random_l"): {"random_labels"},
    ("list", "me"): {"methods", "metrics"},
    ("run", "tiny.yaml", "--add-method", "random_l"): {"random_labels"},
    ("run", "tiny.yaml", "--profile", ""): {"smoke", "other"},
    ("plan", "tiny.yaml", "--profile", "smoke,o"): {"smoke,other"},
    ("run", "tiny.yaml", "--only", "me"): {"method=none", "method=retrain", "method=ssd"},
    ("run", "tiny.yaml", "--only", "disc"): {"discovered=1.0", "discovered=0.5"},
    ("pull", "tiny.yaml", "--only", "seed="): {"seed=0"},
    ("store", "ls", "--sp"): {"--spec"},
    ("run", "nowhere.yaml", "--only", "me"): set(),
}


@pytest.mark.parametrize("words", COMPLETED, ids=" ".join)
def test_words_that_a_spec_or_the_catalogue_knows_are_completed(
    words: tuple[str, ...], tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny.parent)
    tiny.write_text(tiny.read_text() + "  other: {seeds: [1]}\n")
    complete = BashComplete(command_line.harness, {}, "harness", "_HARNESS_COMPLETE")
    found = complete.get_completions(list(words[:-1]), words[-1])
    assert {item.value for item in found} == COMPLETED[words]


def test_completion_scripts_are_printed(cli: Cli) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_HARNESS_COMPLETE" in cli("completion", shell).stdout


def test_wrong_command_lines_end_with_code_2_and_no_traceback(cli: Cli) -> None:
    for arguments in (["rnu"], ["run"], ["run", "x.yaml", "--jobs", "0"], ["store", "lz"]):
        done = cli(*arguments)
        assert done.returncode == 2, arguments
        assert "Traceback" not in done.stderr


def test_a_device_that_is_not_there_is_named(cli: Cli, tiny: Path) -> None:
    done = cli("run", tiny, "--device", "cuda:7")
    assert done.returncode == 2
    assert "found: cpu" in done.stderr


PROVENANCE = """\
provenance:
  - {from: ours, of: [seeds, data, corruption, model, forget, methods, metrics]}
  - {from: paper, of: [train], where: Table 2}
"""


def test_describe_shows_where_every_value_of_a_spec_comes_from(cli: Cli, tiny: Path) -> None:
    paper = "paper: {title: Forgetting, venue: DMLR}\nnote: read this first\n"
    tiny.write_text(paper + tiny.read_text() + PROVENANCE)
    shown = cli("describe", "tiny.yaml", "--profile", "smoke", "--set", "train.ema=0.9").stdout
    assert shown.startswith("tiny 1.0.0\n\nProtocol of “Forgetting” (DMLR).\n\nread this first\n")
    rows = [re.split(r"  +", line) for line in shown.splitlines()]
    assert ["train.batch_size", "32", "paper", "Table 2"] in rows
    assert ["train.steps", "5", "ours", "changed by profile smoke"] in rows
    assert ["train.ema", "0.9", "ours", "changed by --set"] in rows
    paper, ours = (sum(row[2:3] == [origin] for row in rows) for origin in ("paper", "ours"))
    last = f"origin of {paper + ours} values: paper {paper}, ours {ours}"
    assert shown.splitlines()[-1] == last


def test_describe_says_what_a_spec_does_not_record(cli: Cli, tiny: Path) -> None:
    last = cli("describe", tiny).stdout.splitlines()[-1]
    assert re.fullmatch(r"origin of (\d+) values: not recorded \1", last)
    for wrong in (("ssd", "--profile", "smoke"), ("nowhere.yaml",), (tiny, "--profile", "x")):
        done = cli("describe", *wrong)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


def test_validate_refuses_a_spec_of_which_a_value_has_no_origin(cli: Cli, tiny: Path) -> None:
    tiny.write_text(tiny.read_text() + PROVENANCE)
    assert cli("validate", "tiny.yaml", "--profile", "smoke").returncode == 0
    tiny.write_text(tiny.read_text().replace("model, ", "").replace("[train]", "[train, modle]"))
    done = cli("validate", "tiny.yaml")
    assert done.returncode == 2
    first, second = (x for x in done.stderr.splitlines() if x.startswith("tiny.yaml"))
    assert first.startswith("tiny.yaml:7:8: model: no entry of provenance says where its 2 values")
    assert second.startswith("tiny.yaml:24:31: provenance[1].of[1]: 'modle' does not exist")
    assert "did you mean 'model'?" in second


def test_two_profiles_and_the_origins_reach_the_report(
    cli: Cli, tiny: Path, tmp_path: Path
) -> None:
    few = "  few: {train.steps: 3, data.test_samples: 20}\n"
    entry = "  - {from: code, of: [data.test_samples], where: 'main.py:7', profile: few}\n"
    tiny.write_text(tiny.read_text() + few + PROVENANCE + entry)
    done = cli("run", tiny, "--profile", "smoke,few", "--only", "method=none", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "results/tiny/smoke+few"
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    found = json.loads(before["results.json"])
    assert found["profile"] == "smoke+few"
    assert ["train.steps", "3", "ours", "changed by profile few"] in found["origins"]
    assert ["methods.ssd.alpha", "10.0", "ours", "changed by profile smoke"] in found["origins"]
    assert ["data.test_samples", "20", "code", "main.py:7"] in found["origins"]
    assert cli("report", folder).returncode == 0
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    text = (folder / "checklist.md").read_text()
    kinds = [origin for _, _, origin, _ in found["origins"]]
    counted = ", ".join(f"{kind} {kinds.count(kind)}" for kind in ("paper", "code", "ours"))
    assert kinds.count("code") == 1
    assert f"profile smoke+few; origin of {len(kinds)} values: {counted}; every" in text


def test_store_lists_artifacts_by_name_those_of_a_spec_and_where_they_lie(
    cli: Cli, tiny: Path, finished: Path
) -> None:
    every = cli("store", "ls").stdout
    assert re.search(r"^unlearn +ssd, small_cnn|^unlearn +ssd", every, re.MULTILINE)
    own = cli("store", "ls", "--spec", tiny).stdout
    [row] = [line for line in own.splitlines() if "retrain (discovered=0.5, seed 0)" in line
             and line.startswith("unlearn")]  # fmt: skip
    key = re.findall(r"[0-9a-f]{12}", row)[0]
    assert cli("store", "ls", "--spec", tiny, "--profile", "smoke").stdout.count("unlearn") < 2
    place = Path(cli("store", "path", key).stdout.strip())
    assert (place / "record.json").is_file() and place.name.startswith(key)
    assert cli("store", "path").stdout.strip() == str(finished)
    for wrong in (("path", "x"), ("ls", "--profile", "smoke")):
        assert cli("store", *wrong).returncode == 2
