"""Pictures of triggers, read back with Pillow."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.corruptions.pictures import pictures


def images(channels: int, seed: int) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (2, channels, 4, 5), generator=draws).to(torch.uint8)


def pixels(text: str, mode: str) -> np.ndarray:
    picture = Image.open(io.BytesIO(base64.b64decode(text, validate=True)))
    assert (picture.format, picture.mode, picture.size) == ("PNG", mode, (5, 4))
    return np.asarray(picture)


@settings(max_examples=20)
@given(st.sampled_from([1, 3]), st.integers(0, 99), st.sampled_from([0.5, 1.0, 4.0]))
def test_pictures_show_the_pixels_and_the_magnified_difference(
    channels: int, seed: int, gain: float
) -> None:
    clean, triggered = images(channels, seed), images(channels, seed + 1)
    shown = pictures(clean, triggered, gain=gain)
    assert shown == pictures(clean, triggered, gain=gain)
    assert len(shown) == 2
    for n, picture in enumerate(shown):
        assert set(picture) == {"clean", "triggered", "difference"}
        a, b = (t[n].permute(1, 2, 0).numpy().astype(float) for t in (clean, triggered))
        expected = {"clean": a, "triggered": b,
                    "difference": np.clip(np.rint(128 + gain * (b - a)), 0, 255)}  # fmt: skip
        for which, exact in expected.items():
            found = pixels(picture[which], "L" if channels == 1 else "RGB")
            np.testing.assert_array_equal(found.reshape(exact.shape), exact)


def test_no_difference_is_mid_grey() -> None:
    [shown, _] = pictures(images(3, 0), images(3, 0))
    assert (pixels(shown["difference"], "RGB") == 128).all()
    assert shown["clean"] == shown["triggered"]


@pytest.mark.parametrize("channels", [2, 4])
def test_there_are_no_pictures_of_other_channels(channels: int) -> None:
    assert pictures(images(channels, 0), images(channels, 0)) == []
