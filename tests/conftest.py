"""What all tests share: the command line, and small specs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from browser import Browser, chromium
from commandline import ROOT, environment, in_a_process, in_this_process

__all__ = ["ROOT", "TINY", "Cli", "environment"]

Cli = Callable[..., subprocess.CompletedProcess[str]]

# Before torch: two workers of pytest with two threads each are slower than with one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("harness", deadline=None, derandomize=True)
settings.load_profile("harness")

TINY = """\
harness: 1
id: tiny
version: 1.0.0
seeds: [0]
data: {dataset: digits, train_samples: 300, test_samples: 100, validation: 0.1}
corruption: {name: badnet, patch: 2, place: top_left, share: 0.1}
model: {name: small_cnn, widths: [8, 16]}
train:
  steps: 30
  batch_size: 32
  optimizer: {name: sgd, lr: 0.05}
forget: {set: corrupted, discovered: {sweep: [1.0, 0.5]}}
methods:
  - none
  - retrain
  - name: ssd
    alpha: {sweep: [5, 50]}
    select: {maximize: "mean(unlearned_gain, -accuracy_drop)"}
metrics: [clean_accuracy, attack_success_rate, unlearned_gain, accuracy_drop, cost]
profiles:
  smoke: {train.steps: 5, methods.ssd.alpha: 10}
"""


# Of single tests that take half a minute; begun last, one would keep the other worker waiting.
LONG = {"test_faults.py", "test_spec_pull_requests.py", "test_potion_runs.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A spec that runs in a few seconds."""
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY)
    return file


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Runs ``harness`` with arguments in ``tmp_path``, against a store there, in this process."""
    return partial(in_this_process, tmp_path)


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a finished run of the tiny spec, which all workers of pytest share."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder = folder / "finished"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "done").exists():
            folder.mkdir(exist_ok=True)
            (folder / "tiny.yaml").write_text(TINY)
            done = in_this_process(folder, "run", "tiny.yaml", "--jobs", 1)
            assert done.returncode == 0, done.stderr
            (folder / "done").touch()
    return folder / "store"


@pytest.fixture
def finished(finished_once: Path, tmp_path: Path) -> Path:
    """A copy of that store where ``cli`` looks for one: a run of the tiny spec computes nothing."""
    return shutil.copytree(finished_once, tmp_path / "store")


@pytest.fixture
def process(tmp_path: Path) -> Cli:
    """The same in a process of its own.

    For signals, several jobs, limits, other packages, and what Python does when it starts.
    """
    return partial(in_a_process, tmp_path)


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    """Headless Chromium; where there is none, the test is skipped."""
    program = chromium()
    if program is None:
        pytest.skip("needs Chromium: apt install chromium")
    return Browser(program, tmp_path)
