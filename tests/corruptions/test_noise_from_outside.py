"""An outside corruption that makes its inputs on the fly, and a metric that reads its noise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT, TINY

PACKAGE = '''
"""Gaussian noise on every training sample, kept as one tensor, and how much of it is left."""
import torch
from attrs import frozen

from harness.components import component, setting
from harness.corruptions.types import Corruption


@frozen
class Noisy:
    scale: float = setting(8.0, doc="standard deviation", unit="intensities of 255", ge=0)


def rule(settings, dataset, tensors):
    def change(inputs, rows):
        return inputs + tensors["noise"][rows]
    return change


@component("corruptions", "noisy", settings=Noisy, source="a test", rule=rule,
           amount=lambda settings, total: total)
def noisy(train, settings, task):
    """Add noise to every training sample; labels stay."""
    shape = train.inputs.shape
    noise = settings.scale * torch.randn(shape, generator=task.generator())
    task.watch.step(1, 1, None)
    return Corruption(task.rows, rule=True, tensors={"noise": noise, "rows": task.rows})


@component("metrics", "noise_share", source="a test", outputs=lambda settings: ("noise_share",))
def noise_share(evidence, settings):
    """Samples of the forget set whose own noise is there, read by their rows."""
    noise = evidence.corruption("noise")[evidence.rows("forget")]
    return {"noise_share": float((noise.flatten(1).std(1) > 4).float().mean())}
'''
SPEC = (
    TINY.replace("{name: badnet, patch: 2, place: top_left, share: 0.1}", "noisy")
    .replace("attack_success_rate, unlearned_gain, ", "noise_share, ")
    .replace("{sweep: [1.0, 0.5]}", "0.5")
    .replace('"mean(unlearned_gain, -accuracy_drop)"', "-accuracy_drop")
)


@pytest.mark.slow  # what corruptions of the house show too
def test_stored_noise_reaches_batches_and_a_metric(tmp_path: Path) -> None:
    info = tmp_path / "site" / "noisy-0.1.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "site" / "noisy.py").write_text(PACKAGE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: noisy\nVersion: 0.1\n")
    entries = "[harness.corruptions]\nnoisy = noisy\n[harness.metrics]\nnoise_share = noisy\n"
    (info / "entry_points.txt").write_text(entries)
    (tmp_path / "spec.yaml").write_text(SPEC)
    path = os.pathsep.join((str(tmp_path / "site"), str(ROOT)))
    command = ["run", "spec.yaml", "--store", "store", "--out", "out", "--jobs", "1"]
    command += ["--set", "train.steps=3"]
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", *command],
        env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    shares = [row["metrics"]["noise_share"] for row in rows]
    assert shares
    assert min(shares) > 0.99
    [folder] = (tmp_path / "store" / "corrupt").glob("*/*")
    assert (folder / "tensors.safetensors").stat().st_size < 100_000  # 300 noises of 256 bytes
