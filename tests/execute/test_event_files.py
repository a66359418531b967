"""``--log-dir``: event files for TensorBoard, and what is said where it is not installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from conftest import Cli


def test_without_tensorboard_nothing_runs_and_the_command_is_said(
    cli: Cli, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    done = cli("run", tiny, "--jobs", 1, "--log-dir", "events")
    assert done.returncode == 2
    assert "pip install 'harness-unlearning[tensorboard]'" in done.stderr
    assert not (tmp_path / "events").exists()
    assert not list((tmp_path / "store").glob("*/*/*/record.json"))


def test_a_run_leaves_losses_and_metrics_for_tensorboard(
    cli: Cli, tiny: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    done = cli("run", tiny, "--jobs", 1, "--only", "method=retrain", "--log-dir", "events")
    assert done.returncode == 0, done.stderr
    found = {}
    for folder in (tmp_path / "events").iterdir():
        events = EventAccumulator(str(folder))
        events.Reload()
        found[folder.name.rpartition("-")[0]] = {
            tag: [(event.step, event.value) for event in events.Scalars(tag)]
            for tag in events.Tags()["scalars"]
        }
    assert {"train_seed_0", "unlearn_retrain_discovered=1_seed_0"} <= found.keys(), found.keys()
    losses = found["unlearn_retrain_discovered=1_seed_0"]["loss"]
    assert [step for step, _ in losses] == list(range(1, 31))
    assert losses[0][1] > losses[-1][1]
    metrics = found["evaluate_retrain_discovered=1_seed_0"]
    assert {"metrics/clean_accuracy", "metrics/attack_success_rate"} <= metrics.keys()
    before = sorted((tmp_path / "events").rglob("*"))
    cli("run", tiny, "--jobs", 1, "--only", "method=retrain", "--log-dir", "events")
    assert sorted((tmp_path / "events").rglob("*")) == before  # nothing was computed
