"""What all tests share: the command line in a process of its own, and small specs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]
Cli = Callable[..., subprocess.CompletedProcess[str]]

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


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A spec that runs in a few seconds."""
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY)
    return file


def environment(folder: Path) -> dict[str, str]:
    """A process environment whose store lies in ``folder``."""
    return {
        **os.environ,
        "HARNESS_STORE": str(folder / "store"),
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "200",
        "PYTHONPATH": str(ROOT),
    }


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Runs ``harness`` with arguments in ``tmp_path``, against a store there."""

    def call(*arguments: object, **environment_changes: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "harness.cli", *map(str, arguments)]
        variables = {**environment(tmp_path), **environment_changes}
        return subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=variables, timeout=600
        )

    return call
