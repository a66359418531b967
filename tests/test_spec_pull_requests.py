"""What a pull request with specs meets: a workflow without rights, and a script with limits."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conftest import ROOT, TINY, Cli, environment

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
SCRIPT = GITHUB / "check-specs.sh"


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="actionlint is not installed")
@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_actionlint_accepts_the_workflow(file: Path) -> None:
    done = subprocess.run(["actionlint", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_workflow_has_no_rights_and_pins_what_it_uses() -> None:
    text = (GITHUB / "workflows" / "specs.yml").read_text()
    found = yaml.load(text, yaml.BaseLoader)  # noqa: S506
    assert found["permissions"] == {"contents": "read"}
    assert list(found["on"]) == ["pull_request"]  # pull_request_target would have secrets
    assert "secrets" not in text
    (job,) = found["jobs"].values()
    assert "permissions" not in job
    assert int(job["timeout-minutes"]) <= 60
    uses = [step["uses"] for step in job["steps"] if "uses" in step]
    assert uses
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", use) for use in uses)
    for step in job["steps"]:
        assert "${{" not in step.get("run", ""), "what strangers write must not become shell"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A checkout with one spec, and ``harness`` on the path."""
    folder = tmp_path / "repository"
    (folder / "specs").mkdir(parents=True)
    (folder / "specs" / "tiny.yaml").write_text(TINY)
    command = tmp_path / "bin" / "harness"
    command.parent.mkdir()
    command.write_text(
        '#!/bin/sh\n[ "$1" = run ] && set -- "$@" --jobs 1\n'  # workers take long to start
        f'exec {sys.executable} -m harness.cli "$@"\n'
    )
    command.chmod(0o755)
    git(folder, "init", "-q")
    commit(folder)
    return folder


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=n", "-c", "user.email=e@f", *words]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder: Path) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "change")
    return git(folder, "rev-parse", "HEAD")


def check(folder: Path, **variables: str) -> tuple[int, str, str]:
    """Exit code, output and summary of the script on all that is committed after the first."""
    commit(folder)
    base = git(folder, "rev-list", "--max-parents=0", "HEAD")
    summary = folder.parent / "summary.md"
    path = f"{folder.parent / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", str(SCRIPT), base],
        cwd=folder,
        env={
            **environment(folder), "PATH": path, "GITHUB_STEP_SUMMARY": str(summary), **variables,
        },
        capture_output=True,
        text=True,
        timeout=600,
    )  # fmt: skip
    assert git(folder, "worktree", "list").count("\n") == 0, "the base checkout is still there"
    return done.returncode, done.stdout + done.stderr, summary.read_text()


@pytest.mark.slow
def test_a_changed_and_a_new_spec_are_run_and_explained(repository: Path) -> None:
    (repository / "specs" / "tiny.yaml").write_text(TINY.replace("[5, 50]", "[5, 50, 500]"))
    folder = repository / "specs" / "a $(touch pwned) folder"
    folder.mkdir()
    (folder / "new.yaml").write_text(TINY.replace("id: tiny", "id: another"))
    (repository / "specs" / "notes.txt").write_text("no spec")
    code, said, summary = check(repository)
    assert code == 0, said
    assert summary.count("- passed") == 2
    assert "methods.ssd.alpha" in summary
    assert "A new spec." in summary
    assert "notes.txt" not in summary
    assert not (repository / "pwned").exists()


@pytest.mark.slow
def test_a_wrong_a_dear_and_an_endless_spec_fail(repository: Path) -> None:
    specs = repository / "specs"
    specs.joinpath("wrong.yaml").write_text(TINY.replace("badnet", "badnett"))
    specs.joinpath("dear.yaml").write_text(TINY.replace("train.steps: 5", "train.steps: 100000000"))
    code, said, summary = check(repository, GITHUB_ACTIONS="true")
    assert code == 1
    assert summary.count("**failed**") == 2
    assert "did you mean 'badnet'" in said
    assert "EFLOP, the budget is 0.0001" in said
    first, last = said.splitlines()[0], next(x for x in said.splitlines()[1:] if x[:2] == "::")
    assert first == f"::stop-commands::{last.strip(':')}"
    specs.joinpath("wrong.yaml").unlink()
    code, said, _ = check(repository, SPEC_EXAFLOP="1000", SPEC_SECONDS="6")
    assert code == 1
    assert "--limit-hours are over" in said


@pytest.mark.slow
def test_a_spec_whose_data_are_not_there_is_not_blamed(repository: Path) -> None:
    text = TINY.replace("dataset: digits", "dataset: cifar10").replace(
        "{train.steps: 5", "{train.steps: 1"
    )
    (repository / "specs" / "cifar.yaml").write_text(text)
    code, said, summary = check(repository)
    assert code == 0, said
    assert "was not run: its data or weights are not on this machine" in summary


def test_nothing_changed_is_said(repository: Path) -> None:
    (repository / "README.md").write_text("text")
    code, _, summary = check(repository)
    assert code == 0
    assert "No spec differs" in summary


def test_a_plan_over_a_limit_from_outside_ends_with_code_3(cli: Cli, tiny: Path) -> None:
    done = cli("plan", tiny, "--limit-exaflop", "1e-12")
    assert done.returncode == 3
    assert "8 points" in done.stdout
    assert "EFLOP" in done.stderr
    assert cli("plan", tiny, "--limit-exaflop", "1").returncode == 0


def test_a_claims_file_is_checked_and_not_run(repository: Path) -> None:
    claim = "{claim: order, metric: cost_share, methods: [none, ssd], where: T1, specs: [tiny]}"
    text = f"harness: 1\nid: held\nclaims: [{claim}]\n"
    (repository / "specs" / "claims.yaml").write_text(text)
    (repository / "specs" / "wrong-claims.yaml").write_text(text.replace("ssd", "sdd"))
    code, said, summary = check(repository)
    assert code == 1
    assert "did you mean 'ssd'" in said
    assert (summary.count("- passed"), summary.count("**failed**")) == (1, 1)
    assert summary.count("Claims over several specs.") == 2
