"""Pictures of corruptions on their way from the corrupt stage to ``results.json``."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from conftest import Cli

SPEC = """\
harness: 1
id: pictured
version: 1.0.0
data: {dataset: digits, train_samples: 300, test_samples: 50}
model: {name: small_cnn, widths: [4]}
train: {steps: 2, batch_size: 32, optimizer: {name: sgd, lr: 0.05}}
forget: {set: corrupted}
methods: [none]
metrics: [clean_accuracy]
"""


def shown(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))).astype(int)


def run(cli: Cli, folder: Path, corruption: str) -> list[dict]:
    spec = folder / "pictured.yaml"
    spec.write_text(SPEC + f"corruption: {corruption}\n")
    done = cli("run", spec, "--jobs", 1, "--out", "out")
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "out" / "results.json").read_text())["pictures"]


def test_each_trigger_is_shown_once_whatever_the_amount(cli: Cli, tmp_path: Path) -> None:
    found = run(
        cli,
        tmp_path,
        "{name: badnet, patch: 2, place: top_left, count: {sweep: [5, 20]}, "
        "when: {sweep: [before_augmentation, after_normalisation]}}",
    )
    assert len(found) == 2
    early, late = found
    assert early["title"] == (
        "badnet: target_class=0, include_target=true, patch=2, place=top_left, value=1.0, "
        "when=before_augmentation, white=channel"
    )
    assert "after_normalisation" in late["title"]
    for trigger in found:
        assert len(trigger["images"]) == 3
        for image in trigger["images"]:
            clean, stamped = shown(image["clean"]), shown(image["triggered"])
            expected = clean.copy()
            expected[:2, :2] = 255
            np.testing.assert_array_equal(stamped, expected)
            assert clean.min() < clean.max()


def test_fewer_corrupted_samples_are_fewer_pictures(cli: Cli, tmp_path: Path) -> None:
    [found] = run(cli, tmp_path, "{name: invisible, epsilon: 16, count: 2}")
    assert len(found["images"]) == 2
    for image in found["images"]:
        moved = shown(image["difference"]) - 128
        assert 0 < np.abs(moved).max() <= 4 * 16


def test_perturbed_images_are_shown_as_they_are_trained_on(cli: Cli, tmp_path: Path) -> None:
    [pixel] = run(cli, tmp_path, "one_pixel")
    assert pixel["title"] == "one_pixel: score=automatic"
    assert len(pixel["images"]) == 3
    for image in pixel["images"]:
        clean, perturbed = shown(image["clean"]), shown(image["triggered"])
        assert np.count_nonzero(clean != perturbed) == 1
    page = (tmp_path / "out" / "report.md").read_text()
    assert "Corrupted samples" in page
    assert "what it changes is framed" in page
    [noise] = run(cli, tmp_path, "{name: gaussian, std: 0.1, share: 0.5}")
    for image in noise["images"]:
        clean, perturbed = shown(image["clean"]), shown(image["triggered"])
        moved = np.abs(perturbed - clean)[(clean > 60) & (clean < 195)]
        assert 12 < moved.mean() < 30  # 25.5 sqrt(2 / pi) = 20.3


def test_changed_labels_are_no_picture(cli: Cli, tmp_path: Path) -> None:
    assert run(cli, tmp_path, "{name: label_permutation, count: 20}") == []
