"""Augmentations against loops over images and pixels that make the same draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.components import get
from harness.spec.structure import structure_use


def images(count: int, channels: int, height: int, width: int) -> torch.Tensor:
    draws = torch.Generator().manual_seed(11)
    shape = (count, channels, height, width)
    return torch.randint(1, 256, shape, generator=draws).to(torch.uint8)


def augment(name: str, batch: torch.Tensor, seed: int, **chosen: object) -> np.ndarray:
    use = structure_use("augmentations", {"name": name, **chosen})
    draws = torch.Generator().manual_seed(seed)
    return get("augmentations", name).function(batch, use.settings, draws).numpy()


@settings(max_examples=30)
@given(st.integers(1, 3), st.sampled_from(["zero", "reflect"]), st.integers(0, 99))
def test_a_crop_of_wide_images_reads_each_pixel_from_its_place(
    pad: int, mode: str, seed: int
) -> None:
    batch = images(4, 2, 5, 7)
    found = augment("random_crop", batch, seed, padding=pad, mode=mode)
    offsets = torch.randint(2 * pad + 1, (2, 4, 1), generator=torch.Generator().manual_seed(seed))

    def source(place: int, extent: int) -> int | None:
        if 0 <= place < extent:
            return place
        if mode == "zero":
            return None
        return -place if place < 0 else 2 * (extent - 1) - place

    for i in range(4):
        for r in range(5):
            for c in range(7):
                row = source(r + int(offsets[0, i, 0]) - pad, 5)
                column = source(c + int(offsets[1, i, 0]) - pad, 7)
                outside = row is None or column is None
                expected = [0, 0] if outside else batch[i, :, row, column].tolist()
                assert found[i, :, r, c].tolist() == expected


@pytest.mark.parametrize("seed", range(4))
def test_a_flip_mirrors_the_images_whose_draw_is_below_a_half(seed: int) -> None:
    batch = images(9, 3, 4, 5)
    draws = torch.rand(9, generator=torch.Generator().manual_seed(seed)).tolist()
    expected = batch.numpy().copy()
    for i, draw in enumerate(draws):
        if draw < 0.5:
            expected[i] = expected[i][:, :, ::-1]
    np.testing.assert_array_equal(augment("horizontal_flip", batch, seed), expected)


@settings(max_examples=30)
@given(st.integers(1, 9), st.integers(0, 99))
def test_cutout_blackens_the_clipped_square_in_every_channel(size: int, seed: int) -> None:
    batch = images(5, 3, 6, 8)
    draws = torch.Generator().manual_seed(seed)
    middles = [torch.randint(extent, (5, 1), generator=draws) for extent in (6, 8)]
    expected = batch.numpy().copy()
    for i in range(5):
        top, left = (int(m[i, 0]) - size // 2 for m in middles)
        for row in range(max(top, 0), min(top + size, 6)):
            for column in range(max(left, 0), min(left + size, 8)):
                expected[i, :, row, column] = 0
    np.testing.assert_array_equal(augment("cutout", batch, seed, size=size), expected)


@pytest.mark.parametrize(
    ("name", "chosen"), [("random_crop", {"padding": 2}), ("horizontal_flip", {}), ("cutout", {})]
)
def test_an_augmentation_leaves_its_input_and_its_type_alone(name: str, chosen: dict) -> None:
    batch = images(6, 3, 8, 8)
    before = batch.clone()
    found = augment(name, batch, 0, **chosen)
    assert torch.equal(batch, before)
    assert found.dtype == np.uint8
    assert found.shape == batch.shape


def test_random_resized_crop_of_everything_changes_nothing() -> None:
    images = torch.randint(0, 256, (5, 3, 13, 17), dtype=torch.uint8)
    settings = get("augmentations", "random_resized_crop").settings(smallest=1, stretch=1)
    function = get("augmentations", "random_resized_crop").function
    found = function(images, settings, torch.Generator().manual_seed(0))
    assert torch.equal(found, images)


def test_random_resized_crop_enlarges_the_part_that_it_drew() -> None:
    # On a ramp the bilinear value is the sampled position, so the part can be read off the result.
    ramp = torch.arange(0, 200, 2, dtype=torch.uint8).view(1, 1, 1, 100).expand(64, 1, 100, 100)
    component = get("augmentations", "random_resized_crop")
    draws = torch.Generator().manual_seed(1)
    found = component.function(ramp.contiguous(), component.settings(), draws).float()
    left, right = found[:, 0, 50, 0] / 2, found[:, 0, 50, -1] / 2
    wide = (right - left + 1) / 100
    assert ((wide > 0.2) & (wide <= 1.01)).all()
    assert wide.min() < 0.45
    assert wide.max() > 0.9
    assert ((left >= 0) & (right <= 99)).all()
    assert torch.equal(found[:, 0, 0], found[:, 0, -1])
