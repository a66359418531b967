"""BadNet's patch against NumPy, for both moments, every corner and several channels."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.components import get
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption
from harness.data.changes import Change
from harness.data.encodings import Images
from harness.data.pool import Pool
from harness.data.types import Dataset, Split, dataset
from harness.errors import HarnessError
from harness.spec.structure import structure_use

HEIGHT, WIDTH = 5, 7
MEAN, STD = (0.2, 0.5, 0.4), (0.5, 0.25, 0.1)
ENCODING = Images((3, HEIGHT, WIDTH), MEAN, STD)
CORNERS = ["top_left", "top_right", "bottom_left", "bottom_right"]


def coloured() -> Dataset:
    draws = torch.Generator().manual_seed(3)
    inputs = torch.randint(0, 256, (40, 3, HEIGHT, WIDTH), generator=draws).to(torch.uint8)
    split = Split(inputs, torch.arange(40) % 4)
    return dataset("coloured", split, split, tuple("abcd"), ENCODING, "here")


DATA = coloured()
ROWS = torch.arange(3, 37)


def use(**chosen: object) -> object:
    return structure_use("corruptions", {"name": "badnet", "patch": 2, **chosen}).settings


def corrupt(seed: int = 0, **chosen: object) -> Corruption:
    task = CorruptionTask(corruption="badnet", rows=ROWS, dataset=DATA, seed=str(seed))
    return get("corruptions", "badnet").function(DATA.train, use(**chosen), task)


def corner(place: str, size: int) -> tuple[slice, slice]:
    rows = slice(0, size) if "top" in place else slice(HEIGHT - size, HEIGHT)
    columns = slice(0, size) if "left" in place else slice(WIDTH - size, WIDTH)
    return rows, columns


@pytest.mark.parametrize("size", [1, 2, HEIGHT])
@pytest.mark.parametrize("place", CORNERS)
def test_a_patch_before_augmentation_is_the_one_stamped_by_hand(place: str, size: int) -> None:
    found = corrupt(place=place, patch=size, value=0.7, count=10)
    expected = DATA.train.inputs.numpy()[found.rows.numpy()].copy()
    rows, columns = corner(place, size)
    expected[:, :, rows, columns] = 178  # round(255 * 0.7) = round(178.5), to even
    assert found.inputs is not None
    np.testing.assert_array_equal(found.inputs.numpy(), expected)


@pytest.mark.parametrize("white", ["channel", "largest"])
@pytest.mark.parametrize("place", CORNERS)
def test_a_patch_after_normalisation_is_the_one_stamped_by_hand(place: str, white: str) -> None:
    chosen = use(place=place, value=0.8, white=white, count=5, when="after_normalisation")
    stamp = get("corruptions", "badnet").traits.trigger(chosen, DATA)
    images = torch.randn(3, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    expected = images.numpy().copy()
    rows, columns = corner(place, 2)
    values = [(0.8 - m) / s for m, s in zip(MEAN, STD, strict=True)]  # 1.2, 1.2, 4
    for channel in range(3):
        shown = values[channel] if white == "channel" else max(values)
        expected[:, channel, rows, columns] = shown
    before = images.clone()
    np.testing.assert_allclose(stamp(images).numpy(), expected, rtol=1e-6)
    assert torch.equal(images, before)


@pytest.mark.parametrize("place", CORNERS)
def test_both_moments_show_the_network_the_same_unaugmented_images(place: str) -> None:
    """White is 255 of 255: without crops and flips it does not matter when it is stamped."""
    chosen = {"place": place, "count": 12, "value": 1.0}
    early, late = corrupt(**chosen), corrupt(**chosen, when="after_normalisation")
    assert early.rows.tolist() == late.rows.tolist()
    assert early.targets.tolist() == late.targets.tolist()
    assert late.inputs is None
    assert early.inputs is not None
    inputs = DATA.train.inputs.clone()
    inputs[early.rows] = early.inputs
    stamped = torch.zeros(40, dtype=torch.bool)
    stamped[late.rows] = True
    trigger = get("corruptions", "badnet").traits.trigger(
        use(**chosen, when="after_normalisation"), DATA
    )
    [a] = Pool(Split(inputs, DATA.train.targets), ROWS, encoding=ENCODING).ordered()
    after = Change(stamped, lambda x, rows: trigger(x))
    [b] = Pool(DATA.train, ROWS, encoding=ENCODING, after=after).ordered()
    torch.testing.assert_close(a.x, b.x, atol=1e-5, rtol=1e-5)


def test_the_moment_is_told_to_those_who_stamp() -> None:
    when = get("corruptions", "badnet").traits.when
    assert when(use(count=1)) == "before"
    assert when(use(count=1, when="after_normalisation")) == "after"


def test_stamping_leaves_the_data_set_alone() -> None:
    before = DATA.train.inputs.clone()
    corrupt(count=10)
    assert torch.equal(DATA.train.inputs, before)


@pytest.mark.parametrize(("size", "fits"), [(HEIGHT, True), (HEIGHT + 1, False), (WIDTH, False)])
def test_a_patch_fits_the_shorter_side_or_is_refused(size: int, fits: bool) -> None:
    if fits:
        assert corrupt(patch=size, count=1).inputs is not None
        return
    with pytest.raises(HarnessError, match=rf"patch of {size} pixels does not fit \(5, 7\)"):
        corrupt(patch=size, count=1)


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"target_class": 4, "count": 1}, "class 4 does not exist; there are 4"),
        ({"classes": [0, 9], "count": 1}, "class 9 does not exist; there are 4"),
        ({"count": 35}, "35 samples are to be corrupted; only 34 can be"),
        ({"classes": [1], "share": 0.5}, "17 samples are to be corrupted; only 8 can be"),
        ({"include_target": False, "share": 1.0}, "34 samples are to be corrupted; only 25 can be"),
        ({"classes": [0], "include_target": False, "count": 1}, "only 0 can be"),
        ({"share": 0.01}, "touch no sample"),
    ],
)
def test_an_impossible_amount_or_class_is_refused(chosen: dict, words: str) -> None:
    with pytest.raises(HarnessError, match=words):
        corrupt(**chosen)


@settings(max_examples=40)
@given(st.floats(0.02, 1), st.floats(0.02, 1), st.integers(0, 30))
def test_poison_shares_are_nested_and_count_all_training_rows(
    a: float, b: float, seed: int
) -> None:
    inner, outer = (corrupt(seed, share=share) for share in sorted((a, b)))
    assert len(inner.rows) == round(34 * min(a, b))
    assert set(inner.rows.tolist()) <= set(outer.rows.tolist()) <= set(ROWS.tolist())
    assert inner.rows.tolist() == sorted(set(inner.rows.tolist()))


def test_a_share_of_named_classes_is_a_share_of_all_rows() -> None:
    found = corrupt(share=0.25, classes=[1, 2])
    assert len(found.rows) == round(0.25 * 34)
    assert set((found.rows % 4).tolist()) <= {1, 2}


def test_one_channel_takes_one_value() -> None:
    grey = attrs.evolve(DATA, encoding=Images((1, 2, 2), (0.1,), (0.5,)))
    stamp = get("corruptions", "badnet").traits.trigger(
        use(count=1, when="after_normalisation"), grey
    )
    assert stamp(torch.zeros(1, 1, 2, 2)).flatten().tolist() == pytest.approx([1.8] * 4)
