"""A stranger repeats a run: with the command that was recorded, from a checkout that stays clean."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT, TINY, Cli
from harness.execute.environment import git_state
from harness.report import read_results

FAST = ("--profile", "smoke", "--only", "method=none", "--jobs", 1)


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=n", "-c", "user.email=e@f")
    command = ["git", *who, *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What of the repository the quickstart meets, and the tiny spec, in a checkout of its own."""
    for name in ("Makefile", ".gitignore", "specs/quickstart.yaml", "results/quickstart"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, tmp_path / name)
    (tmp_path / "specs" / "tiny.yaml").write_text(TINY)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    return tmp_path


def test_the_quickstart_leaves_the_checkout_clean(
    cli: Cli, checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    [line] = re.findall(r"^\tharness (run .*)$", (checkout / "Makefile").read_text(), re.MULTILINE)
    assert f"harness {line}\n" in (ROOT / "README.md").read_text()
    store = tmp_path_factory.mktemp("store")
    done = cli(*shlex.split(line), *FAST, "--store", store)
    assert done.returncode == 0, done.stderr
    assert git(checkout, "status", "--porcelain") == ""


@pytest.mark.parametrize("kind", ["variables", "neurips", "ml-reproducibility"])
def test_the_command_in_a_checklist_runs_as_printed_and_computes_the_same(
    cli: Cli, checkout: Path, kind: str
) -> None:
    sets = ("--set", "forget.discovered={sweep: [0.5, 1]}", "--seeds", "3,4", "--out", "runs/one")
    spec = checkout / "specs" / "tiny.yaml"
    assert cli("run", spec, *FAST, *sets, "--store", checkout / "elsewhere").returncode == 0
    text = cli("checklist", "runs/one", "--kind", kind).stdout
    [printed] = re.findall(r"^```\n(harness run .*)\n```$", text, re.MULTILINE)
    again = cli(*shlex.split(printed)[1:], "--out", "runs/two", "--jobs", 1)
    assert again.returncode == 0, again.stderr
    one, two = (read_results(checkout / "runs" / name) for name in ("one", "two"))
    assert one.rows == two.rows
    assert one.spec == two.spec
    assert two.provenance.command == printed


def test_latex_prints_the_quotes_of_the_command_as_they_are_typed(cli: Cli, checkout: Path) -> None:
    change = ("--set", "forget.discovered={sweep: [0.5, 1]}", "--out", "runs/one")
    assert cli("run", "specs/tiny.yaml", *FAST, *change).returncode == 0
    text = cli("checklist", "runs/one", "--format", "latex").stdout
    quote = r"\textquotesingle{}"
    assert rf"-{{}}-set {quote}forget.discovered=\{{sweep: {{[}}0.5, 1{{]}}\}}{quote}" in text


def test_a_tree_is_dirty_only_where_code_or_specs_differ(checkout: Path) -> None:
    (checkout / "notes.md").write_text("to do")
    (checkout / "results" / "quickstart" / "default" / "report.md").write_text("edited")
    (checkout / "store").mkdir()
    (checkout / "store" / "record.json").write_text("{}")
    clean = git_state(checkout / "specs")
    assert clean is not None and not clean["dirty"]
    for name in ("specs/tiny.yaml", "specs/deep/new.yaml", "mine/method.py", "constraints.txt"):
        file = checkout / name
        file.parent.mkdir(exist_ok=True)
        before = file.read_text() if file.exists() else None
        file.write_text("# other")
        found = git_state(checkout / "specs")
        assert found is not None and found["dirty"], name
        file.unlink() if before is None else file.write_text(before)
