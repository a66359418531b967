"""The small commands."""

from __future__ import annotations

import json
from pathlib import Path

from conftest import ROOT, Cli


def test_list_and_describe_explain_what_is_installed(cli: Cli) -> None:
    assert "retrain" in cli("list").stdout
    shown = cli("describe", "ssd").stdout
    for word in ("eqs. 5-7", "alpha", "Sees: forget", "Example:", "> 0"):
        assert word in shown
    wrong = cli("describe", "sdd")
    assert wrong.returncode == 2
    assert "did you mean 'ssd'" in wrong.stderr
    assert "did you mean 'methods'" in cli("list", "method").stderr


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
