"""Data sources: tiny parquet files, damaged caches, class folders, digests."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from harness.components import NoSettings, get
from harness.data import parquet
from harness.data.types import DataRoot, Dataset, Split, digest
from harness.errors import HarnessError, RemoteError
from harness.spec.structure import structure_use

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def pictures(count: int, height: int = 4, width: int = 4) -> list[np.ndarray]:
    draws = np.random.default_rng(5)
    return [draws.integers(0, 256, (height, width, 3), dtype="uint8") for _ in range(count)]


def write(
    file: Path, column: str, shown: list[np.ndarray], label: str = "label", kind: str = "PNG"
) -> Path:
    rows = [{"bytes": encoded(pixels, kind), "path": f"{i}.png"} for i, pixels in enumerate(shown)]
    table = pa.table({column: pa.array(rows, IMAGE), label: list(range(len(rows)))})
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file)
    return file


@pytest.mark.parametrize("column", ["img", "image"])
def test_colour_parquet_keeps_every_pixel_channel_first(column: str, tmp_path: Path) -> None:
    shown = pictures(3, 4, 6)
    file = write(tmp_path / "train-0.parquet", column, shown, "fine_label")
    found = parquet.read([file], "fine_label", "RGB", None, None)
    assert found.inputs.dtype == torch.uint8
    assert found.targets.tolist() == [0, 1, 2]
    for i, pixels in enumerate(shown):
        for channel in range(3):
            assert found.inputs[i, channel].tolist() == pixels[:, :, channel].tolist()


def test_files_are_looked_for_beside_and_in_data_in_their_order(tmp_path: Path) -> None:
    for name in ("train-00001-of-00002", "train-00000-of-00002", "test-00000-of-00001"):
        write(tmp_path / "data" / f"{name}.parquet", "img", pictures(1))
    assert [f.name[:11] for f in parquet.find(tmp_path, "train")] == ["train-00000", "train-00001"]
    assert parquet.find(tmp_path, "validation") == []
    near = write(tmp_path / "train-0.parquet", "img", pictures(1))
    assert parquet.find(tmp_path, "train") == [near]


@pytest.mark.parametrize("damage", ["flipped", "shortened", "emptied", "no digest", "other digest"])
def test_a_damaged_cache_is_decoded_again_and_repaired(damage: str, tmp_path: Path) -> None:
    file = write(tmp_path / "train-0.parquet", "img", pictures(3))
    cache = tmp_path / "cache"
    expected = digest(parquet.read([file], "label", "RGB", None, cache))
    [kept], [summed] = cache.glob("*.safetensors"), cache.glob("*.sha256")
    good = kept.read_bytes()
    if damage == "flipped":  # the last byte is a pixel or a label: still a readable file
        kept.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    elif damage == "shortened":
        kept.write_bytes(good[:-3])
    elif damage == "emptied":
        kept.write_bytes(b"")
    elif damage == "no digest":
        summed.unlink()
    else:
        summed.write_text("0" * 64)
    assert digest(parquet.read([file], "label", "RGB", None, cache)) == expected
    assert kept.read_bytes() == good
    assert summed.read_text() == hashlib.sha256(good).hexdigest()


def test_the_cache_is_not_used_for_other_files_or_settings(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    a = write(tmp_path / "a" / "train-0.parquet", "img", pictures(2))
    b = write(tmp_path / "b" / "train-0.parquet", "img", pictures(3))
    parquet.read([a], "label", "RGB", None, cache)
    assert len(parquet.read([b], "label", "RGB", None, cache).targets) == 3
    assert parquet.read([a], "label", "L", None, cache).inputs.shape == (2, 1, 4, 4)
    assert parquet.read([a], "label", "RGB", 2, cache).inputs.shape == (2, 3, 2, 2)
    assert len(list(cache.glob("*.safetensors"))) == 4


def test_without_a_place_for_the_cache_data_are_read_all_the_same(tmp_path: Path) -> None:
    file = write(tmp_path / "train-0.parquet", "img", pictures(2))
    (tmp_path / "taken").write_text("a file, not a folder")
    found = parquet.read([file], "label", "RGB", None, tmp_path / "taken" / "cache")
    assert len(found.targets) == 2


def test_images_of_several_sizes_need_a_size(tmp_path: Path) -> None:
    file = write(tmp_path / "train-0.parquet", "img", [*pictures(1, 4, 4), *pictures(1, 6, 8)])
    with pytest.raises(HarnessError, match="differ in size; set 'size'"):
        parquet.read([file], "label", "RGB", None, None)
    assert parquet.read([file], "label", "RGB", 4, None).inputs.shape == (2, 3, 4, 4)


def test_resizing_cuts_the_middle_of_the_longer_side() -> None:
    pixels = np.zeros((4, 8, 3), dtype="uint8")
    pixels[:, 2:6] = 200  # the middle square; what is left and right of it is cut away
    found = parquet.decode(encoded(pixels), "RGB", 4)
    assert (found == 200).all()


def load(name: str, root: DataRoot, **chosen: object) -> Dataset:
    use = structure_use("datasets", {"name": name, **chosen})
    return get("datasets", name).function(use.settings, root)


def test_missing_data_name_the_parquet_the_original_files_and_the_reason(tmp_path: Path) -> None:
    with pytest.raises(RemoteError) as problem:
        load("cifar100", DataRoot(tmp_path, offline=True))
    for words in (
        "'cifar100' was not found",
        f"{tmp_path / 'cifar100'}/train-*.parquet",
        f"torchvision's CIFAR100 files in {tmp_path}\n",
        "--offline",
    ):
        assert words in str(problem.value)
    with pytest.raises(RemoteError, match="no --data-root is named"):
        load("mnist", DataRoot(None, offline=True))


def test_one_split_alone_is_not_the_data_set(tmp_path: Path) -> None:
    write(tmp_path / "cifar10" / "train-0.parquet", "img", pictures(2))
    with pytest.raises(RemoteError, match="cifar10"):
        load("cifar10", DataRoot(tmp_path, offline=True))


@pytest.mark.parametrize(("kind", "lossy"), [("PNG", False), ("JPEG", True)])
def test_a_jpeg_copy_of_lossless_images_is_called_lossy(
    kind: str, lossy: bool, tmp_path: Path
) -> None:
    for split in ("train", "test"):
        write(tmp_path / "cifar10" / f"{split}-0.parquet", "img", pictures(2, 32, 32), kind=kind)
    assert load("cifar10", DataRoot(tmp_path, offline=True)).lossy is lossy


def folders(home: Path, train: str, test: str) -> None:
    for part, names in (("train", train), ("test", test)):
        for value, name in enumerate(names):
            (home / part / name).mkdir(parents=True)
            shown = np.full((5, 5, 3), 10 * value, dtype="uint8")
            (home / part / name / "one.png").write_bytes(encoded(shown))


@pytest.mark.parametrize("way", ["..", "absolute", "link"])
def test_class_folders_outside_the_data_root_are_refused(way: str, tmp_path: Path) -> None:
    folders(tmp_path / "secret", "ab", "ab")
    home = tmp_path / "root"
    home.mkdir()
    (home / "link").symlink_to(tmp_path / "secret")
    written = {"..": "../secret", "absolute": str(tmp_path / "secret"), "link": "link"}[way]
    with pytest.raises(HarnessError, match="leaves the data root"):
        load("image_folder", DataRoot(home, offline=True), folder=written)


def test_class_folders_that_are_missing_or_differ_are_named(tmp_path: Path) -> None:
    root = DataRoot(tmp_path, offline=True)
    folders(tmp_path / "mixed", "ab", "ac")
    with pytest.raises(HarnessError, match="the classes of train and test differ"):
        load("image_folder", root, folder="mixed")
    folders(tmp_path / "three", "abc", "abc")
    with pytest.raises(HarnessError, match="has 3 classes, the spec says classes: 10"):
        load("image_folder", root, folder="three")
    with pytest.raises(RemoteError, match="no folder 'train'"):
        load("image_folder", root, folder="nowhere")
    with pytest.raises(RemoteError, match="--data-root"):
        load("image_folder", DataRoot(None, offline=True), folder="mixed")


def test_class_folders_are_numbered_by_name(tmp_path: Path) -> None:
    folders(tmp_path / "mine", "cab", "bca")
    found = load("image_folder", DataRoot(tmp_path, offline=True), folder="mine", size=5, classes=3)
    assert found.classes == ("a", "b", "c")
    assert found.train.targets.tolist() == [0, 1, 2]
    assert found.train.inputs[:, 0, 0, 0].tolist() == [10, 20, 0]
    assert found.test.inputs[:, 0, 0, 0].tolist() == [20, 0, 10]


def test_a_digest_covers_type_shape_and_bytes_as_written_out_by_hand() -> None:
    split = Split(torch.tensor([[[[1, 2]]]], dtype=torch.uint8), torch.tensor([258]))
    written = b"torch.uint8(1, 1, 1, 2)\x01\x02" + b"torch.int64(1,)\x02\x01" + bytes(6)
    assert digest(split) == hashlib.sha256(written).hexdigest()
    turned = Split(split.inputs.transpose(2, 3), split.targets)
    assert digest(turned) != digest(split)


def test_digits_are_scikit_learns_with_every_fifth_held_out() -> None:
    from sklearn.datasets import load_digits

    found = get("datasets", "digits").function(NoSettings(), DataRoot(None, offline=True))
    raw = load_digits()
    order = np.random.default_rng(0).permutation(1797).tolist()
    held_out = {row for place, row in enumerate(order) if place % 5 == 0}
    places: dict[str, list[int]] = {"train": [], "test": []}
    for row in range(1797):
        places["test" if row in held_out else "train"].append(row)
    for split, rows in ((found.train, places["train"]), (found.test, places["test"])):
        assert split.targets.tolist() == raw.target[rows].tolist()
        ratio = split.inputs[:, 0].double().numpy() * 16 / 255
        assert np.abs(ratio - raw.images[rows]).max() < 0.04
    assert len(found.train.targets) == 1437


def test_what_the_datasets_library_loads_is_what_the_parquet_files_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets", reason="the optional extra 'hub' is not installed")
    from harness.data import sources

    shades = {"train": [10, 20, 30], "test": [40]}
    parts = {}
    for part, values in shades.items():
        rows = []
        for shade in values:
            file = tmp_path / f"{shade}.png"
            Image.fromarray(np.full((28, 28), shade, dtype="uint8")).save(file)
            rows.append({"image": str(file), "label": shade // 10})
        loaded = datasets.Dataset.from_list(rows)
        parts[part] = loaded.cast_column("image", datasets.Image())
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *names: asked.append(names) or parts)
    source = sources.Source("mnist", "ylecun/mnist", "MNIST", mode="L")
    train, test = sources._download(source, None)
    assert asked == [("ylecun/mnist", None)]
    assert train.inputs[:, 0, 0, 0].tolist() == shades["train"]
    assert (train.targets.tolist(), test.targets.tolist()) == ([1, 2, 3], [4])
