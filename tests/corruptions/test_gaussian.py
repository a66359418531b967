"""Gaussian noise on training samples: who gets it, how it is drawn, and what reaches the model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.components import get
from harness.corruptions.checking import checked
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption, draw
from harness.data.encodings import Features, Images
from harness.data.pool import Pool
from harness.data.types import Dataset, Split, dataset
from harness.spec.structure import structure_use
from harness.stages.material import corrupted
from harness.stages.stored_corruption import stored
from harness.store import Store

TOTAL = 40
TRAINING, HELD_OUT = torch.arange(3, TOTAL), torch.arange(3)
RAW = Images((3, 5, 5), mean=(0.0,) * 3, std=(1 / 255,) * 3)  # batches show the intensities


def images(*shape: int) -> Dataset:
    draws = torch.Generator().manual_seed(1)
    inputs = torch.randint(0, 256, (TOTAL, *shape), generator=draws).to(torch.uint8)
    split = Split(inputs, torch.arange(TOTAL) % 4)
    return dataset("small", split, split, tuple("abcd"), RAW, "here")


DATA = images(3, 5, 5)


def task(data: Dataset = DATA) -> CorruptionTask:
    return CorruptionTask(corruption="gaussian", rows=TRAINING, dataset=data, seed="s")


def made(data: Dataset = DATA, **written: Any) -> Corruption:
    use = structure_use("corruptions", {"name": "gaussian", "std": 0.5, **written})
    found = get("corruptions", "gaussian").function(data.train, use.settings, task(data))
    return checked(found, task(data), rule=False)


@settings(max_examples=20)
@given(
    st.sampled_from([(1, 2, 2), (1, 4, 4), (3, 5, 5)]),  # draws of 16 at a time, and of fewer
    st.integers(1, len(TRAINING)),
    st.integers(1, len(TRAINING)),
)
def test_a_larger_count_has_the_smaller_ones_rows_with_the_same_noise(
    shape: tuple[int, ...], few: int, many: int
) -> None:
    few, many = min(few, many), max(few, many)
    small, large = (made(images(*shape), count=count) for count in (few, many))
    assert len(small.rows) == few
    noise = dict(zip(large.rows.tolist(), large.tensors["noise"], strict=True))
    for row, own in zip(small.rows.tolist(), small.tensors["noise"], strict=True):
        assert torch.equal(noise[row], own)


def test_the_noise_has_another_stream_than_the_rows() -> None:
    found, order = made(count=5), draw(TRAINING, 5, task().generator())
    assert found.rows.tolist() == sorted(order.tolist())
    first = torch.randn(3, 5, 5, generator=task().generator("noise"))
    place = found.rows.tolist().index(int(order[0]))
    torch.testing.assert_close(found.tensors["noise"][place], 127.5 * first)


def test_another_size_of_noise_is_the_same_noise() -> None:
    small, large = made(count=5, std=0.1), made(count=5, std=0.3)
    torch.testing.assert_close(3 * small.tensors["noise"], large.tensors["noise"])


def test_the_noise_of_images_is_in_intensities_and_that_of_features_in_their_units() -> None:
    vectors = Split(torch.randn(TOTAL, 300), DATA.train.targets)
    features = dataset("vectors", vectors, vectors, tuple("abcd"), Features(300), "here")
    for data, size in ((DATA, 127.5), (features, 0.5)):
        found = made(data, share=1.0)
        assert found.tensors["std"].item() == size
        assert found.tensors["noise"].std().item() == pytest.approx(size, rel=0.05)
        assert found.targets is None
        assert len(found.rows) == len(TRAINING)


def test_the_model_is_shown_the_noise_unrounded_and_unclipped_through_augmentation(
    tmp_path: Path,
) -> None:
    found, store = made(share=0.5), Store(tmp_path)
    parts = {"train_rows": TRAINING, "validation_rows": HELD_OUT, **stored(found)}
    store.write("corrupt", "0" * 64, {}, parts)
    tensors = store.read("corrupt", "0" * 64).tensors
    assert tensors is not None
    use = SimpleNamespace(name="gaussian", settings=None)
    cell: Any = SimpleNamespace(corruption=use)
    placed = corrupted(cell, DATA, tensors)
    assert torch.equal(placed.train.inputs, DATA.train.inputs), "the clean inputs are beside it"
    assert torch.equal(placed.train.targets, DATA.train.targets)
    expected = DATA.train.inputs.float()
    expected[found.rows] += found.tensors["noise"]
    flip = structure_use("augmentations", "horizontal_flip")
    pool = Pool(placed.train, TRAINING, encoding=RAW, before=placed.changes, augment=[flip])
    flipped = 0
    for batch in pool.epoch(16, torch.Generator().manual_seed(2)):
        for x, y, row in zip(batch.x, batch.y, batch.row.tolist(), strict=True):
            assert y == DATA.train.targets[row]
            turned = torch.allclose(x, expected[row].flip(-1), atol=1e-4)
            assert turned or torch.allclose(x, expected[row], atol=1e-4)
            flipped += turned
    assert 0 < flipped < len(TRAINING)
    noisy = expected[found.rows]
    assert noisy.min() < 0
    assert noisy.max() > 255
