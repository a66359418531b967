"""What a run records of its machine, and how another machine compares with it."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy
import pytest
import torch

from conftest import TINY, Cli
from harness.execute import environment

FAST = ("--profile", "smoke", "--only", "method=none", "--only", "discovered=0.5")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a small run on two processes, of a spec in a git checkout of its own."""
    from conftest import environment as variables

    folder = tmp_path_factory.mktemp("made")
    (folder / "specs").mkdir()
    (folder / "specs" / "tiny.yaml").write_text(TINY)
    (folder / "constraints.txt").write_text("torch==0\n")
    for words in ("init -q", "add .", "-c user.name=n -c user.email=e@f commit -qm one"):
        subprocess.run(["git", *words.split()], cwd=folder, check=True)
    command = [sys.executable, "-m", "harness.cli", "run", "specs/tiny.yaml", "--jobs", "2"]
    subprocess.run(
        [*command, *FAST, "--out", "out"],
        cwd=folder,
        check=True,
        env=variables(folder),
        capture_output=True,
    )
    return folder


def facts(made: Path) -> dict:
    return json.loads((made / "out" / "results.json").read_text())["provenance"]


def test_a_run_records_what_its_workers_imported(made: Path) -> None:
    found = facts(made)
    assert found["packages"]["torch"] == torch.__version__
    assert found["packages"]["numpy"] == numpy.__version__
    assert found["packages"]["safetensors"] == version("safetensors")
    assert found["packages"]["scikit-learn"] == version("scikit-learn")  # read by workers only
    assert "pytest" not in found["packages"]
    assert found["versions"]["python"] == platform.python_version()


def test_a_run_records_threads_revision_and_constraints(made: Path) -> None:
    found = facts(made)
    assert found["threads"] == [1]
    git = ["git", "-C", str(made), "rev-parse", "HEAD"]
    revision = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    assert found["git"]["revision"] == revision
    assert not found["git"]["dirty"]  # the store beside the specs is no code
    assert found["constraints"] == hashlib.sha256(b"torch==0\n").hexdigest()
    assert found["machine"]["cpu"] == environment.cpu_model()
    assert found["constraints"] in (made / "out" / "checklist.md").read_text()


def test_the_driver_is_read_from_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, found in {
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5\nGCC": "550.54.15",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.10  Release": "570.86.10",
        "something else": None,
    }.items():
        monkeypatch.setattr(Path, "read_text", lambda self, text=text: text)
        assert environment.nvidia_driver() == found


def test_the_instructions_by_which_kernels_are_chosen_are_read_from_the_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for text, model, found in (
        (
            "model name\t: AMD EPYC\nflags\t\t: fpu avx2 avx512f sse\n",
            "AMD EPYC",
            ("avx2", "avx512f"),
        ),
        ("processor\t: 0\nFeatures\t: fp asimd sve\n", None, ("asimd", "sve")),
        ("", None, ()),
    ):
        monkeypatch.setattr(Path, "read_text", lambda self, text=text: text)
        assert environment.cpu_extensions() == found
        assert model is None or environment.cpu_model() == model


def test_outside_a_checkout_nothing_is_recorded(tmp_path: Path) -> None:
    assert environment.git_state(tmp_path) is None
    assert environment.constraints_digest(tmp_path) is None


def changed(made: Path, folder: Path, change) -> Path:
    results = json.loads((made / "out" / "results.json").read_text())
    change(results)
    file = folder / "results.json"
    file.write_text(json.dumps(results))
    return file


def test_the_same_machine_can_expect_identical_bytes(cli: Cli, made: Path) -> None:
    done = cli("doctor", "--against", made / "out")
    assert done.returncode == 0, done.stdout
    assert "identical bytes" in done.stdout
    assert "git revision" in done.stdout  # the tests do not run in that checkout


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda r: r["provenance"]["versions"].update(torch="1.0"), "torch"),
        (lambda r: r["provenance"]["machine"].update(cpu="another"), "cpu"),
        (lambda r: r["provenance"]["machine"].update(extensions=["sse"]), "extensions"),
        (lambda r: r["provenance"].update(threads=[4]), "threads"),
        (lambda r: r["components"][0].update(revision=99), "revision 99"),
        (lambda r: r["provenance"].update(plugins={"my-plugin": "1"}), "my-plugin"),
        (
            lambda r: r["provenance"]["machine"].update(devices=["cuda:0"], gpu=["NVIDIA H200"]),
            "NVIDIA H200",
        ),
    ],
)
def test_what_identical_bytes_need_ends_with_code_1(
    cli: Cli, made: Path, tmp_path: Path, change, what: str
) -> None:
    done = cli("doctor", "--against", changed(made, tmp_path, change))
    assert done.returncode == 1, done.stdout + done.stderr
    assert what in done.stdout
    assert "cannot be expected" in done.stdout


def test_another_python_or_package_is_shown_but_allowed(
    cli: Cli, made: Path, tmp_path: Path
) -> None:
    def change(results: dict) -> None:
        results["provenance"]["versions"] |= {"python": "3.0.0"}
        results["provenance"]["packages"] |= {"rich": "1", "no-such-package": "2"}

    done = cli("doctor", "--against", changed(made, tmp_path, change))
    assert done.returncode == 0, done.stdout
    for word in ("3.0.0", "rich", "not here"):
        assert word in done.stdout


def test_statistical_repeats_are_not_promised_to_be_equal(
    cli: Cli, made: Path, tmp_path: Path
) -> None:
    def change(results: dict) -> None:
        results["spec"]["deterministic"] = "statistical"

    done = cli("doctor", "--against", changed(made, tmp_path, change))
    assert done.returncode == 0
    assert "not equal" in done.stdout


def test_no_results_end_with_code_2(cli: Cli) -> None:
    done = cli("doctor", "--against", "nowhere")
    assert done.returncode == 2
    assert "no results" in done.stderr
