"""Input that used to slip through or to end in a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness.components import NoSettings, get
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption
from harness.data import parquet
from harness.data.types import DataRoot
from harness.errors import HarnessError
from harness.spec.structure import structure_use

OFFLINE = DataRoot(None, offline=True)
DIGITS = get("datasets", "digits").function(NoSettings(), OFFLINE)
NOTHING = Corruption(torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64))


def corrupt(name: str, **settings: object) -> Corruption:
    use = structure_use("corruptions", {"name": name, **settings})
    task = CorruptionTask(corruption=name, rows=torch.arange(500), dataset=DIGITS, seed="s")
    return get("corruptions", name).function(DIGITS.train, use.settings, task)


@pytest.mark.parametrize("count", [1, 5])
def test_an_odd_class_swap_is_refused(count: int) -> None:
    with pytest.raises(HarnessError, match="class_swap"):
        corrupt("class_swap", classes=[3, 5], count=count)


def test_a_patch_that_does_not_fit_is_refused_after_normalisation_too() -> None:
    with pytest.raises(HarnessError, match="does not fit"):
        corrupt("badnet", patch=9, count=3, when="after_normalisation")


def test_nothing_corrupted_is_nothing_to_discover() -> None:
    use = structure_use("forget_sets", "corrupted")
    with pytest.raises(HarnessError, match="nothing is corrupted"):
        get("forget_sets", "corrupted").function(
            use.settings, torch.arange(5), NOTHING, torch.zeros(5), torch.Generator(), OFFLINE
        )


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.txt", b""), ("a.txt", b"\xff\xfe"), ("a.json", b"[1,"), ("a.txt", b"9" * 30)],
)
def test_lists_of_rows_that_cannot_be_read_are_named(
    name: str, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    use = structure_use("forget_sets", {"set": "indices", "file": name})
    with pytest.raises(HarnessError, match=name):
        get("forget_sets", "indices").function(
            use.settings, torch.arange(5), NOTHING, torch.zeros(5), torch.Generator(),
            DataRoot(tmp_path, offline=True),
        )  # fmt: skip


def test_a_parquet_file_that_is_none_is_named(tmp_path: Path) -> None:
    file = tmp_path / "train-0.parquet"
    file.write_bytes(b"junk")
    with pytest.raises(HarnessError, match="train-0.parquet"):
        parquet.read([file], "label", "L", None, None)


def test_an_image_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "i.png").write_bytes(b"junk")
    with pytest.raises(HarnessError, match=r"i\.png"):
        parquet.decode(tmp_path / "i.png", "RGB", None)


def test_more_pixels_than_there_are_cannot_be_reflected() -> None:
    use = structure_use("augmentations", {"name": "random_crop", "padding": 8, "mode": "reflect"})
    with pytest.raises(HarnessError, match="reflected"):
        get("augmentations", "random_crop").function(
            DIGITS.train.inputs[:2], use.settings, torch.Generator()
        )
