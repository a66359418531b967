"""What the unlearnability protocol needs of data: toy, ImageNet-100, intensities as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression

from harness.components import get
from harness.data.types import DataRoot, Dataset
from harness.errors import HarnessError
from harness.spec.structure import structure_use


def toy(**settings: object) -> Dataset:
    use = structure_use("datasets", {"name": "toy", **settings})
    return get("datasets", "toy").function(use.settings, DataRoot(None, offline=True))


def test_the_toy_data_are_5000_samples_of_10_classes_that_a_line_tells_apart_in_part() -> None:
    found = toy()
    assert found.train.inputs.shape == (5000, 12)
    assert found.train.inputs.dtype == torch.float32
    counts = found.train.targets.bincount()
    assert len(counts) == 10
    assert counts.min() > 400
    line = LogisticRegression(max_iter=300).fit(found.train.inputs, found.train.targets)
    score = line.score(found.test.inputs, found.test.targets)
    assert 0.4 < score < 0.95
    assert toy().digest == found.digest != toy(seed=1).digest


def test_more_clusters_than_corners_are_refused() -> None:
    with pytest.raises(HarnessError, match="n_classes"):
        toy(informative=2, clusters=1)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist"])
def test_intensities_in_0_to_1_are_seen_where_normalisation_is_off(name: str) -> None:
    use = structure_use("datasets", {"name": name, "normalise": False})
    encoding = get("datasets", name).traits.facts(use.settings).encoding
    stored = torch.full((1, *encoding.shape), 255, dtype=torch.uint8)
    torch.testing.assert_close(encoding.batch(stored), torch.ones(1, *encoding.shape))


def test_imagenet_is_cut_to_its_first_classes_by_name(tmp_path: Path) -> None:
    for part in ("train", "val"):
        for number in (2, 0, 1):
            folder = tmp_path / "imagenet" / part / f"n{number:08}"
            folder.mkdir(parents=True)
            Image.new("RGB", (8, 8), (100 * number, 0, 0)).save(folder / "picture.png")
    cut = {"name": "imagenet", "size": 8, "classes": 2, "per_class": 1, "test_per_class": 1}
    use = structure_use("datasets", cut)
    found = get("datasets", "imagenet").function(use.settings, DataRoot(tmp_path, offline=True))
    assert found.classes == ("n00000000", "n00000001")
    assert found.train.inputs[:, 0, 0, 0].tolist() == [0, 100]
    facts = get("datasets", "imagenet").traits.facts(use.settings)
    assert (facts.classes, facts.train, facts.test) == (2, 2, 2)
