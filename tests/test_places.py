"""Places that are not as a program expects them: each is said, and before anything is computed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import TINY, Cli, environment


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert "Traceback" not in said
    assert "failed" not in said
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("swap", "words"),
    [
        (('id: tiny', 'id: "tiny\\n"'), "must match"),
        (("version: 1.0.0", 'version: "1.0.0\\n"'), "must match"),
        (("alpha: {sweep: [5, 50]}", "alpha: {sweep: [1e200, 1e300]}\n    dampening_over_alpha: 1e200"), "a finite number is needed"),
        (("steps: 30", f"steps: 1{'0' * 350}"), "whole numbers go up to 9,007,199,254,740,992"),
        (("harness: 1\n", 'harness: 1\nextends: "a\\0.yaml"\n'), "the character NUL"),
        (("harness: 1\n", "harness: 1\nextends: loop.yaml\n"), "no such spec: 'loop.yaml'"),
        (("harness: 1\n", f"harness: 1\nextends: {'a' * 300}\n"), "no such spec"),
        (("dataset: digits,", 'dataset: {name: image_folder, size: 8, folder: "a\\0b"},'), "NUL"),
        (("smoke: {train.steps: 5, methods.ssd.alpha: 10}", "smoke:"), "a mapping is needed"),
    ],
)  # fmt: skip
def test_values_that_no_file_and_no_number_can_be_are_refused_with_their_place(
    cli: Cli, tmp_path: Path, swap: tuple[str, str], words: str
) -> None:
    assert swap[0] in TINY
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "tiny.yaml").write_text(TINY.replace(*swap))
    refused(cli("validate", "tiny.yaml"), 2, "tiny.yaml:", words)


@pytest.mark.parametrize("command", ["validate", "plan", "report"])
@pytest.mark.parametrize("place", ["loop", "", "a\0b"])
def test_a_path_that_leads_nowhere_is_refused(
    cli: Cli, tmp_path: Path, command: str, place: str
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    refused(cli(command, place), 2)


@pytest.mark.parametrize("option", ["--out", "--store"])
@pytest.mark.parametrize("place", ["", "tiny.yaml/x", "loop/x", "a" * 300, "/proc/none/x"])
def test_where_nothing_can_be_written_no_stage_is_run(
    cli: Cli, tiny: Path, tmp_path: Path, option: str, place: str
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    done = cli("run", tiny, "--jobs", 1, option, place)
    refused(done, 2 if not place else 1, option if place != "a" * 300 else "")
    assert not (tmp_path / "results").exists()
    assert not list(tmp_path.rglob("record.json"))


def test_a_memory_limit_in_which_nothing_fits_is_refused(cli: Cli, tiny: Path) -> None:
    done = cli("run", tiny, "--jobs", 1, "--limit-memory-gb", 0.01)
    refused(done, 2, "--limit-memory-gb 0.01 is too small", "allow at least")


def test_without_a_home_folder_the_way_out_is_said(
    cli: Cli, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_: object) -> None:
        raise KeyError("no such user")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    refused(cli("plan", tiny, HARNESS_STORE=""), 2, "no home folder", "--store or HARNESS_STORE")


def test_in_a_folder_that_was_deleted_the_way_out_is_said(tmp_path: Path) -> None:
    code = "import os, sys; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')"
    code += "; sys.argv = ['harness', 'validate', 'x']; from harness.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True,
    )  # fmt: skip
    refused(done, 2, "the folder that this was started in cannot be used")


needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")


@needs_full
def test_a_full_disk_under_both_streams_does_not_cost_a_run_its_report(
    tiny: Path, tmp_path: Path, finished: Path
) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "harness.cli", "run", "tiny.yaml", "--jobs", "1"],
            cwd=tmp_path, env=environment(tmp_path), stdout=full, stderr=full,
        )  # fmt: skip
    assert (tmp_path / "results" / "tiny" / "default" / "report.md").exists()
    assert done.returncode == 1


@needs_full
def test_a_json_log_on_a_full_disk_ends_and_the_run_goes_on(
    cli: Cli, tiny: Path, finished: Path
) -> None:
    done = cli("run", tiny, "--jobs", 1, "--json-log", "/dev/full")
    assert done.returncode == 0, done.stderr
    assert "the JSON log ends here: No space left on device" in done.stderr
