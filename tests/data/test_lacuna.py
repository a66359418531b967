"""LACUNA-100, whose pictures nobody may pass on: on made folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from harness.components import get
from harness.data.types import DataRoot, Dataset
from harness.errors import HarnessError, RemoteError
from harness.spec.structure import structure_use


def load(root: Path | None, **settings: int) -> Dataset:
    use = structure_use("datasets", {"name": "lacuna100", "size": 8, **settings})
    return get("datasets", "lacuna100").function(use.settings, DataRoot(root, offline=True))


def test_lacuna_is_read_as_built_and_refused_where_it_is_not(tmp_path: Path) -> None:
    for number, (part, count) in enumerate({"train": 3, "test": 2}.items()):
        for person in range(3):
            folder = tmp_path / "lacuna100" / part / f"n{person:06}"
            folder.mkdir(parents=True)
            for picture in range(count):
                shade = (80 * person, 100 * number, 50 * picture)
                Image.new("RGB", (20, 20), shade).save(folder / f"{picture:04}_01.png")
    found = load(tmp_path, classes=3, per_class=2, test_per_class=2)
    assert found.train.targets.tolist() == [0, 0, 1, 1, 2, 2]
    assert found.train.inputs.shape == (6, 3, 8, 8)
    assert found.test.inputs[:, :, 0, 0].tolist()[1] == [0, 100, 50]
    with pytest.raises(HarnessError, match=r"found 3 persons, 9 training and 6 test pictures"):
        load(tmp_path)


def test_without_the_pictures_the_message_says_where_their_terms_are(tmp_path: Path) -> None:
    for root in (None, tmp_path):
        with pytest.raises(RemoteError, match=r"robots\.ox\.ac\.uk/~vgg/data/vgg_face2"):
            load(root, classes=3)
