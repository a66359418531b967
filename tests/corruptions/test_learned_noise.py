"""Noise that a network makes, from a spec, and what it takes of a model that trains on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import TINY, Cli
from harness.report.read import read_results

NOISE: dict[str, dict[str, Any]] = {
    "error_minimising": {"rounds": 2, "steps": 2, "batch_size": 64},
    "targeted_adversarial": {"restarts": 1, "steps": 2, "augment": []},
    "deep_confuse": {"outer_epochs": 1, "inner_epochs": 1, "batch_size": 64, "width": 2},
    "tangent_kernel": {"steps": 1, "block": 100, "attacked": 50, "layers": 2},
    "robust_error_minimising": {
        "steps": 2,
        "draws": 1,
        "adversarial_steps": 1,
        "train_steps": 3,
        "batch_size": 64,
        "model": {"name": "mlp", "hidden": [8]},
    },
}


def written(folder: Path, corruption: dict[str, Any], **changes: Any) -> Path:
    """The tiny spec with another corruption, without unlearning and profiles."""
    spec = {**yaml.safe_load(TINY), "methods": ["none"], "metrics": ["clean_accuracy"]}
    spec |= {"corruption": corruption, "forget": {"set": "corrupted"}, **changes}
    del spec["profiles"]
    file = folder / "spec.yaml"
    file.write_text(yaml.safe_dump(spec, sort_keys=False))
    return file


IN_ANY_CASE = ("error_minimising", "targeted_adversarial")
ONE_BY_ONE = [
    pytest.param(name, marks=[] if name in IN_ANY_CASE else pytest.mark.slow) for name in NOISE
]


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_a_spec_trains_on_noise_and_says_what_it_cost(cli: Cli, tmp_path: Path, name: str) -> None:
    file = written(tmp_path, {"name": name, **NOISE[name]})
    done = cli("run", file, "--out", "out", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    records = [
        json.loads(f.read_text())["content"]["record"]
        for f in (tmp_path / "store").glob("corrupt/*/*/record.json")
    ]
    [made] = [found for found in records if found["corrupted"]]
    assert made["corrupted"] == 270  # all but what is held out
    passes = made.get("meter", {"backward": 0})["backward"]
    assert passes == 0 if name == "tangent_kernel" else passes >= 2 * 270


EFFECT: list[tuple[dict[str, Any], float, float]] = [  # and between which test accuracies
    ({"name": "gaussian", "std": 0.17, "share": 1.0}, 0.9, 1.0),
    ({"name": "error_minimising", "rounds": 8, "batch_size": 128, "steps": 5, "step_size": 0.06}, 0, 0.7),
    ({"name": "error_minimising", "rounds": 8, "batch_size": 128, "noise_of": "class", "step_size": 0.06}, 0, 0.6),
    ({"name": "targeted_adversarial", "restarts": 1, "steps": 20, "step_size": 0.04}, 0, 0.5),
    ({"name": "robust_error_minimising", "steps": 3, "draws": 1, "step_size": 0.06,
      "adversarial_eps": 0.1, "adversarial_steps": 2, "adversarial_step_size": 0.05,
      "train_steps": 100}, 0, 0.88),
    ({"name": "deep_confuse", "outer_epochs": 10, "inner_epochs": 1, "batch_size": 64, "lr": 0.05,
      "optimizer": {"name": "adam", "lr": 1e-3}, "width": 8}, 0, 0.65),
    ({"name": "tangent_kernel", "steps": 1, "step_size": 0.3, "block": 256, "attacked": 500}, 0, 0.4),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("corruption", "low", "high"), EFFECT, ids=[str(e[0]) for e in EFFECT])
def test_who_trains_on_noise_of_a_network_fails_on_clean_images_and_on_plain_noise_does_not(
    cli: Cli, tmp_path: Path, corruption: dict[str, Any], low: float, high: float
) -> None:
    """On all digits, whose intensities may change by 0.3; the clean model is right in 97 %. Plain
    noise has the standard deviation of uniform noise in that ball."""
    if corruption["name"] != "gaussian":
        corruption = {"eps": 0.3, **corruption}
    if corruption["name"] in ("targeted_adversarial", "robust_error_minimising"):
        corruption["augment"] = []
    sgd = {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}
    train = {"epochs": 12, "batch_size": 64, "optimizer": sgd}
    model = {"name": "small_cnn", "widths": [16, 32]}
    more = {"data": {"dataset": "digits"}, "train": train, "model": model}
    done = cli("run", written(tmp_path, corruption, **more), "--out", "out", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    [row] = read_results(tmp_path / "out").rows
    assert low <= row.metrics["clean_accuracy"] <= high


BAD = [
    ({"name": "error_minimising", "eps": 1.1}, "corruption.eps"),
    ({"name": "error_minimising", "eps": 0.003}, "8 bits hold no change below 1/255"),
    ({"name": "error_minimising", "model": "gpt2"}, "corruption.model: 'gpt2' gives no logits"),
    ({"name": "error_minimising", "model": "resnet9"}, "resnet9 takes images of at least 12"),
    ({"name": "targeted_adversarial", "offset": 10}, "found 10; there are 10 classes"),
    ({"name": "targeted_adversarial", "augment": [{"name": "cutout", "size": 9}]}, "does not fit"),
]


@pytest.mark.parametrize(("corruption", "says"), BAD, ids=[says for _, says in BAD])
def test_settings_that_cannot_be_are_refused(
    cli: Cli, tmp_path: Path, corruption: dict[str, Any], says: str
) -> None:
    done = cli("validate", written(tmp_path, corruption))
    assert done.returncode == 2
    assert says in done.stderr
