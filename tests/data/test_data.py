"""Data sets, pools, augmentations and forget sets against slow obvious versions."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from conftest import ROOT
from harness.components import NoSettings, get
from harness.corruptions.types import Corruption
from harness.data import parquet
from harness.data.changes import Change
from harness.data.datasets.images import Scaled
from harness.data.encodings import Images
from harness.data.pool import Pool
from harness.data.subset import subset
from harness.data.types import DataRoot, Split
from harness.errors import HarnessError, RemoteError
from harness.spec.structure import structure_use

NOWHERE = DataRoot(None, offline=True)
REAL = ROOT.parent / "shared" / "data"
DIGITS = get("datasets", "digits").function(NoSettings(), NOWHERE)


def images(count: int = 6, channels: int = 3, side: int = 8) -> torch.Tensor:
    draws = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, channels, side, side), generator=draws).to(torch.uint8)


def augment(name: str, batch: torch.Tensor, seed: int = 0, **settings: object) -> torch.Tensor:
    use = structure_use("augmentations", {"name": name, **settings})
    draws = torch.Generator().manual_seed(seed)
    return get("augmentations", name).function(batch, use.settings, draws)


def test_digits_are_the_pinned_ones() -> None:
    assert DIGITS.digest == "33803e21cbd79e5748f9297853dc2678b43bbd6cd04496c0bbdecca1f6da411d"
    pixels = DIGITS.train.inputs.double() / 255
    assert DIGITS.encoding.mean[0] == pytest.approx(float(pixels.mean()), abs=1e-4)
    assert DIGITS.encoding.std[0] == pytest.approx(float(pixels.std()), abs=1e-4)


@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_random_crop_shifts_each_image_as_a_slow_loop_does(mode: str) -> None:
    batch = images()
    found = augment("random_crop", batch, 3, padding=2, mode="zero" if mode == "constant" else mode)
    offsets = torch.randint(5, (2, 6, 1), generator=torch.Generator().manual_seed(3))
    for i, image in enumerate(batch.numpy()):
        padded = np.pad(image, ((0, 0), (2, 2), (2, 2)), mode=mode)
        top, left = int(offsets[0, i]), int(offsets[1, i])
        np.testing.assert_array_equal(found[i], padded[:, top : top + 8, left : left + 8])


def test_a_crop_without_padding_changes_nothing() -> None:
    assert torch.equal(augment("random_crop", images(), padding=0), images())


def test_a_flip_mirrors_whole_images_or_leaves_them() -> None:
    batch = images(50)
    found = augment("horizontal_flip", batch)
    mirrored = [torch.equal(f, b.flip(-1)) for f, b in zip(found, batch, strict=True)]
    same = [torch.equal(f, b) for f, b in zip(found, batch, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 10 < sum(mirrored) < 40


def test_cutout_blackens_one_square_of_at_most_its_size() -> None:
    batch = torch.full((40, 1, 8, 8), 9, dtype=torch.uint8)
    for image in augment("cutout", batch, size=3)[:, 0]:
        rows, columns = (image == 0).nonzero(as_tuple=True)
        assert 1 <= len(rows.unique()) <= 3
        assert 1 <= len(columns.unique()) <= 3
        assert len(rows) == len(rows.unique()) * len(columns.unique())


ENCODING = Images((3, 8, 8), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.1))


def pool(count: int = 10, **changes: object) -> Pool:
    split = Split(images(12), torch.arange(12))
    uses = (structure_use("augmentations", {"name": "random_crop", "padding": 2}),)
    arguments = {"encoding": ENCODING, "augment": uses, **changes}
    return Pool(split, torch.arange(2, 2 + count), **arguments)  # type: ignore[arg-type]


def test_a_pool_normalises_by_the_formula() -> None:
    [batch] = pool().ordered(100)
    shown = images(12)[2:].double() / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.5, 0.4, 0.3), (0.2, 0.3, 0.1)))
    torch.testing.assert_close(batch.x.double(), (shown - mean) / std, atol=1e-5, rtol=1e-5)
    assert batch.y.tolist() == batch.row.tolist() == list(range(2, 12))


@given(st.integers(1, 5), st.integers(0, 4))
def test_a_pass_that_is_resumed_goes_on_with_the_same_batches(size: int, skip: int) -> None:
    whole_draws, part_draws = (torch.Generator().manual_seed(5) for _ in range(2))
    whole = list(pool().epoch(size, whole_draws))
    part = list(pool().epoch(size, part_draws, skip=skip))
    assert len(part) == max(0, len(whole) - skip)
    for a, b in zip(whole[skip:], part, strict=True):
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.row, b.row)
    assert torch.equal(whole_draws.get_state(), part_draws.get_state())


def test_a_pass_covers_every_sample_once_and_keeps_the_last_batch() -> None:
    batches = list(pool().epoch(4, torch.Generator().manual_seed(0)))
    assert [len(b.y) for b in batches] == [4, 4, 2]
    assert sorted(torch.cat([b.row for b in batches]).tolist()) == list(range(2, 12))


def test_only_stamped_rows_carry_the_trigger_after_normalisation() -> None:
    stamped = torch.zeros(12, dtype=torch.bool)
    stamped[[3, 7]] = True
    found = pool(after=Change(stamped, lambda x, rows: torch.full_like(x, 99.0)))
    for batch in (*found.ordered(4), *found.epoch(3, torch.Generator())):
        carries = (batch.x == 99).flatten(1).all(1)
        assert carries.tolist() == [row in (3, 7) for row in batch.row.tolist()]


def test_joining_and_cutting_pools_keeps_samples_with_their_labels() -> None:
    both = pool(3).joined(pool(5).subset(torch.tensor([4])).with_targets(torch.tensor([8])))
    assert both.targets.tolist() == [2, 3, 4, 8]
    [batch] = both.ordered()
    assert batch.row.tolist() == [2, 3, 4, 6]


def choose(name: str, count: int, root: DataRoot = NOWHERE, **settings: object) -> torch.Tensor:
    use = structure_use("forget_sets", {"set": name, **settings})
    rows = torch.arange(0, 2 * count, 2)
    corruption = Corruption(rows[: count // 2], torch.zeros(count // 2, dtype=torch.int64))
    return get("forget_sets", name).function(
        use.settings,
        rows,
        corruption,
        torch.arange(2 * count) % 3,
        torch.Generator().manual_seed(9),
        root,
    )


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_a_smaller_forget_set_is_part_of_a_larger_one(a: float, b: float) -> None:
    small, large = sorted((a, b))
    for name, key in (("corrupted", "discovered"), ("random", "share")):
        inner, outer = (set(choose(name, 40, **{key: v}).tolist()) for v in (small, large))
        assert inner <= outer
        assert inner


def test_a_class_is_forgotten_whole() -> None:
    assert all(row % 3 == 1 for row in choose("class", 20, label=1).tolist())
    with pytest.raises(HarnessError, match="class 7"):
        choose("class", 20, label=7)


def test_listed_rows_and_groups_are_forgotten(tmp_path: Path) -> None:
    root = DataRoot(tmp_path, offline=True)
    (tmp_path / "rows.txt").write_text("4\n\n2\n")
    (tmp_path / "rows.json").write_text("[6, 0]")
    (tmp_path / "groups.txt").write_text("\n".join(str(i // 4) for i in range(40)))
    assert choose("indices", 20, root, file="rows.txt").tolist() == [2, 4]
    assert choose("indices", 20, root, file="rows.json").tolist() == [0, 6]
    assert choose("group", 20, root, file="groups.txt", groups=[0, 2]).tolist() == [0, 2, 8, 10]


def test_samples_that_a_corruption_added_are_in_no_group(tmp_path: Path) -> None:
    (tmp_path / "groups.txt").write_text("\n".join(str(i % 2) for i in range(6)))
    use = structure_use("forget_sets", {"set": "group", "file": "groups.txt", "groups": [1]})
    added = Split(images(3), torch.zeros(3, dtype=torch.int64))
    corruption = Corruption(torch.tensor([0, 6, 7, 8]), added=added)
    root, targets = DataRoot(tmp_path, offline=True), torch.zeros(9, dtype=torch.int64)
    chosen = get("forget_sets", "group").function(
        use.settings, torch.arange(1, 9), corruption, targets, torch.Generator(), root
    )
    assert chosen.tolist() == [1, 3, 5]


@pytest.mark.parametrize(
    ("text", "words"),
    [("1\nx\n", "rows.txt:2: found 'x'"), ("2\n2\n", "twice"), ("3\n", "3 is no training row")],
)
def test_a_bad_list_of_rows_is_named(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text(text)
    with pytest.raises(HarnessError, match=words):
        choose("indices", 20, DataRoot(tmp_path, offline=True), file="rows.txt")


def test_a_list_of_rows_cannot_come_from_outside_the_data_root(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "secret.txt").write_text("1")
    (tmp_path / "root" / "link.txt").symlink_to(tmp_path / "secret.txt")
    for name in ("../secret.txt", "link.txt", "/etc/hostname"):
        with pytest.raises(HarnessError, match="leaves the data root"):
            choose("indices", 20, DataRoot(tmp_path / "root", offline=True), file=name)


@pytest.fixture
def mnist_root(tmp_path: Path) -> Path:
    """A tiny MNIST in the Hub's parquet layout, one split in two files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "root" / "mnist" / "data"
    folder.mkdir(parents=True)
    for name, start in (
        ("train-00000-of-00002", 0),
        ("train-00001-of-00002", 5),
        ("test-00000-of-00001", 20),
    ):
        rows = []
        for i in range(start, start + 5):
            stream = io.BytesIO()
            Image.fromarray(np.full((28, 28), 10 * i, dtype="uint8")).save(stream, "PNG")
            rows.append({"image": {"bytes": stream.getvalue(), "path": None}, "label": i % 10})
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    return tmp_path / "root"


def test_parquet_files_of_the_hub_are_read_in_order_and_cached(
    mnist_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = DataRoot(mnist_root, offline=True, cache=tmp_path / "cache")
    load = get("datasets", "mnist").function
    first = load(Scaled(), root)
    assert first.train.inputs.shape == (10, 1, 28, 28)
    assert first.train.inputs[:, 0, 0, 0].tolist() == [10 * i for i in range(10)]
    assert first.train.targets.tolist() == list(range(10))
    assert str(mnist_root) in first.source
    with monkeypatch.context() as patch:
        patch.setattr(parquet, "_decode", lambda *_: pytest.fail("decoded again"))
        assert load(Scaled(), root).digest == first.digest
    for file in (tmp_path / "cache").glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-3])
    assert load(Scaled(), root).digest == first.digest


def test_missing_columns_are_named(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "mnist").mkdir()
    for part in ("train", "test"):
        pq.write_table(pa.table({"picture": [1]}), tmp_path / "mnist" / f"{part}-0.parquet")
    with pytest.raises(HarnessError, match="img or image, and label"):
        get("datasets", "mnist").function(Scaled(), DataRoot(tmp_path, offline=True))


def test_torchvisions_original_files_are_read(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, count in (("train", 3), ("t10k", 2)):
        pixels = np.arange(count * 784, dtype="uint8")
        header = np.array([0x803, count, 28, 28], dtype=">i4").tobytes()
        (raw / f"{name}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        labels = np.array([0x801, count], dtype=">i4").tobytes() + bytes(range(count))
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(labels)
    found = get("datasets", "mnist").function(Scaled(), DataRoot(tmp_path, offline=True))
    assert found.train.inputs.shape == (3, 1, 28, 28)
    assert found.test.targets.tolist() == [0, 1]
    assert found.train.inputs.flatten()[:4].tolist() == [0, 1, 2, 3]


def test_data_that_are_nowhere_are_said_to_be_looked_for_where(tmp_path: Path) -> None:
    for name in ("cifar10", "cifar100", "mnist", "imagenette"):
        use = structure_use("datasets", name)
        with pytest.raises(RemoteError, match=f"(?s){name}.*Looked for.*{tmp_path}.*offline"):
            get("datasets", name).function(use.settings, DataRoot(tmp_path, offline=True))


def test_class_folders_are_read_and_resized(tmp_path: Path) -> None:
    for part, label in (("train", "a"), ("train", "b"), ("test", "a"), ("test", "b")):
        folder = tmp_path / "mine" / part / label
        folder.mkdir(parents=True)
        Image.new("RGB", (20, 10), (255, 0, 0) if label == "a" else (0, 0, 255)).save(
            folder / "i.png"
        )
    use = structure_use(
        "datasets", {"name": "image_folder", "folder": "mine", "size": 8, "classes": 2}
    )
    found = get("datasets", "image_folder").function(use.settings, DataRoot(tmp_path, offline=True))
    assert found.classes == ("a", "b")
    assert found.train.inputs.shape == (2, 3, 8, 8)
    assert found.train.inputs[0, :, 0, 0].tolist() == [255, 0, 0]


def test_a_subset_is_balanced_and_always_the_same() -> None:
    found = subset(DIGITS, 100, 50)
    assert torch.bincount(found.train.targets).tolist() == [10] * 10
    assert found.digest == subset(DIGITS, 100, 50).digest != DIGITS.digest
    with pytest.raises(HarnessError, match="1,437"):
        subset(DIGITS, 10**6, None)


@pytest.mark.parametrize(("name", "shape"), [("mnist", (1, 28, 28)), ("cifar10", (3, 32, 32))])
def test_real_data_are_read(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    if not (REAL / name).is_dir():
        pytest.skip("the real data are not here")
    root = DataRoot(REAL, offline=True, cache=tmp_path)
    found = get("datasets", name).function(Scaled(), root)
    assert tuple(found.train.inputs.shape[1:]) == shape
    facts = get("datasets", name).traits.facts(Scaled())
    assert (len(found.train.targets), len(found.test.targets)) == (facts.train, facts.test)
    pixels = found.train.inputs[:5000].double() / 255
    assert tuple(pixels.mean((0, 2, 3)).tolist()) == pytest.approx(found.encoding.mean, abs=0.02)


def test_a_json_list_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps({"rows": [1]}))
    with pytest.raises(HarnessError, match="JSON list"):
        choose("indices", 20, DataRoot(tmp_path, offline=True), file="rows.json")
