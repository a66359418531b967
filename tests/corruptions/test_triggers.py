"""Blended, sinusoidal, warping and invisible triggers against slow versions, and as properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.components import get
from harness.corruptions.poison import AT_ONCE
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption
from harness.corruptions.warping import field
from harness.data.encodings import Images
from harness.data.types import Dataset, Split, dataset
from harness.errors import HarnessError
from harness.spec.structure import structure_use

STRENGTH = {"blended": "strength", "sinusoidal": "delta", "warping": "strength", "invisible": "epsilon"}  # fmt: skip
NAMES = sorted(STRENGTH)


def random_images(
    count: int, channels: int, height: int, width: int, seed: int = 0
) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, height, width), generator=draws).to(torch.uint8)


def data_of(images: torch.Tensor) -> Dataset:
    split = Split(images, torch.arange(len(images)) % 4)
    middle = (0.5,) * images.shape[1]
    encoding = Images(tuple(images.shape[1:]), middle, middle)
    return dataset("random", split, split, tuple("abcd"), encoding, "here")


DATA = data_of(random_images(40, 3, 5, 7))
ROWS = torch.arange(3, 37)


def settings_of(name: str, **chosen: object) -> object:
    return structure_use("corruptions", {"name": name, **chosen}).settings


def show(name: str, images: torch.Tensor, **chosen: object) -> torch.Tensor:
    trigger = get("corruptions", name).traits.trigger(settings_of(name, **chosen), DATA)
    return trigger(images)


def corrupt(name: str, seed: int = 0, **chosen: object) -> Corruption:
    task = CorruptionTask(corruption=name, rows=ROWS, dataset=DATA, seed=str(seed))
    return get("corruptions", name).function(DATA.train, settings_of(name, **chosen), task)


def close(found: torch.Tensor, exact: np.ndarray, slack: float = 1e-3) -> None:
    """``found`` is ``exact``, clipped and rounded either way where that is within ``slack``."""
    gap = np.abs(found.numpy().astype(float) - np.clip(exact, 0, 255))
    assert gap.max() <= 0.5 + slack


@pytest.mark.parametrize("strength", [0.2, 0.5, 0.83])
def test_blended_is_the_weighted_mean_of_image_and_one_pattern(strength: float) -> None:
    images = random_images(6, 3, 5, 7)
    pattern = show("blended", images, strength=1.0)
    assert all(torch.equal(image, pattern[0]) for image in pattern)
    found = show("blended", images, strength=strength)
    exact = np.zeros(images.shape)
    for n, c, i, j in np.ndindex(*images.shape):
        exact[n, c, i, j] = (1 - strength) * int(images[n, c, i, j]) + strength * int(
            pattern[0, c, i, j]
        )
    close(found, exact)


def test_the_pattern_of_blended_is_uniform_and_follows_its_seed() -> None:
    black = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    pattern = show("blended", black, strength=1.0)
    # 12288 draws of 0..255: mean 127.5, standard error 0.67.
    assert abs(pattern.double().mean().item() - 127.5) < 3
    assert pattern.min() == 0
    assert pattern.max() == 255
    assert not torch.equal(pattern, show("blended", black, strength=1.0, seed=1))


@pytest.mark.parametrize(("delta", "frequency"), [(20, 6), (33.5, 1), (255, 2.5)])
def test_sinusoidal_adds_the_wave_of_a_loop_over_pixels(delta: float, frequency: float) -> None:
    images = random_images(3, 2, 5, 9)
    exact = images.numpy().astype(float)
    for n, c, i, j in np.ndindex(*images.shape):
        exact[n, c, i, j] += delta * math.sin(2 * math.pi * (j + 1) * frequency / 9)
    close(show("sinusoidal", images, delta=delta, frequency=frequency), exact)


def test_a_sinusoid_worked_by_hand() -> None:
    grey = torch.full((1, 1, 2, 4), 100, dtype=torch.uint8)
    found = show("sinusoidal", grey, delta=20, frequency=1)  # sin of 90, 180, 270 and 360 degrees
    assert found[0, 0].tolist() == [[120, 100, 80, 100]] * 2


def cubic(distance: float) -> float:
    """Keys' kernel with a = -0.75."""
    d, a = abs(distance), -0.75
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


def upsampled(control: np.ndarray, size: int) -> np.ndarray:
    """``control`` [k, ...] along its first axis at ``size`` places, ends on ends."""
    k = len(control)
    rows = []
    for i in range(size):
        place = i * (k - 1) / (size - 1)
        base = math.floor(place)
        near = range(base - 1, base + 3)
        rows.append(sum(cubic(place - n) * control[min(max(n, 0), k - 1)] for n in near))
    return np.stack(rows)


def slowly_warped(images: np.ndarray, control: np.ndarray, strength: float) -> np.ndarray:
    """Bilinear reading at ``identity + strength * control / side``, pixel by pixel, in float64."""
    _, _, height, width = images.shape
    control = control / np.abs(control).mean()
    by_rows = np.stack([upsampled(axis, height) for axis in control])
    shift = np.stack([upsampled(axis.T, width).T for axis in by_rows])  # [2, H, W], x then y
    out = np.zeros(images.shape)
    for i in range(height):
        for j in range(width):
            x = np.clip(2 * j / (width - 1) - 1 + strength * shift[0, i, j] / width, -1, 1)
            y = np.clip(2 * i / (height - 1) - 1 + strength * shift[1, i, j] / height, -1, 1)
            column, row = (x + 1) / 2 * (width - 1), (y + 1) / 2 * (height - 1)
            for r in (math.floor(row), math.floor(row) + 1):
                for c in (math.floor(column), math.floor(column) + 1):
                    weight = max(0, 1 - abs(row - r)) * max(0, 1 - abs(column - c))
                    if weight > 0:
                        out[:, :, i, j] += weight * images[:, :, r, c]
    return out


@pytest.mark.parametrize(
    ("height", "width", "grid"), [(8, 8, 4), (7, 11, 4), (12, 9, 3), (6, 6, 2)]
)
@pytest.mark.parametrize("strength", [0.5, 3.0])
def test_warping_reads_where_a_loop_over_pixels_does(
    height: int, width: int, grid: int, strength: float
) -> None:
    images = random_images(2, 3, height, width)
    draws = torch.Generator().manual_seed(5)
    control = (2 * torch.rand(1, 2, grid, grid, generator=draws) - 1)[0].double().numpy()
    found = show("warping", images, grid=grid, strength=strength, seed=5)
    close(found, slowly_warped(images.double().numpy(), control, strength), slack=0.01)


def test_a_warp_stays_in_the_image_and_grows_with_its_strength() -> None:
    straight = field(settings_of("warping", strength=0.0), 32, 32)
    gaps = [
        (field(settings_of("warping", strength=s), 32, 32) - straight).abs().mean().item()
        for s in (0.0, 0.25, 0.5, 1.0)
    ]
    assert gaps[0] == 0
    assert gaps == sorted(gaps)
    # The control points' mean shift is strength / side by construction; upsampling keeps its size.
    assert gaps[2] == pytest.approx(0.5 / 32, rel=0.4)
    wild = field(settings_of("warping", strength=500.0), 9, 4)
    assert wild.shape == (1, 9, 4, 2)
    assert wild.abs().max() <= 1


@settings(max_examples=40)
@given(st.integers(0, 255), st.integers(0, 9), st.integers(0, 99))
def test_an_invisible_pattern_moves_no_pixel_further_than_epsilon(
    epsilon: int, seed: int, drawn: int
) -> None:
    images = random_images(3, 3, 5, 7, drawn)
    moved = show("invisible", images, epsilon=epsilon, seed=seed).int() - images.int()
    assert moved.abs().max() <= epsilon
    signs = np.sign(moved.numpy())
    for n, c, i, j in np.ndindex(*images.shape):
        x, d = int(images[n, c, i, j]), int(moved[n, c, i, j])
        allowed = {min(x + epsilon, 255) - x, max(x - epsilon, 0) - x}
        assert d in allowed
    # One pattern: no two images disagree on a sign.
    assert (np.abs(signs.max(0) - signs.min(0)) < 2).all()


def test_the_signs_of_an_invisible_pattern_are_balanced_and_follow_their_seed() -> None:
    grey = torch.full((1, 3, 64, 64), 128, dtype=torch.uint8)
    found = show("invisible", grey)
    assert sorted(found.unique().tolist()) == [120, 136]
    # Binomial(12288, 1/2): 6144 with a standard deviation of 55.
    assert abs(int((found == 136).sum()) - 6144) < 250
    assert not torch.equal(found, show("invisible", grey, seed=1))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 7), (1, 7, 5), (4, 2, 9), (1, 1, 1)])
def test_any_shape_keeps_its_type_and_zero_strength_changes_nothing(
    name: str, shape: tuple[int, int, int]
) -> None:
    images = random_images(3, *shape)
    before = images.clone()
    found = show(name, images)
    assert found.dtype == torch.uint8
    assert found.shape == images.shape
    assert torch.equal(show(name, images), found)
    assert torch.equal(images, before)
    assert torch.equal(show(name, images, **{STRENGTH[name]: 0}), images)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_changed_alike_alone_and_among_many(name: str) -> None:
    images = random_images(AT_ONCE + 3, 1, 6, 5)
    found = show(name, images)
    for n in (0, AT_ONCE - 1, AT_ONCE, AT_ONCE + 2):
        assert torch.equal(show(name, images[n : n + 1])[0], found[n])
    assert show(name, images[:0]).shape == (0, 1, 6, 5)
    assert not torch.equal(found, images)


@settings(max_examples=30)
@given(st.sampled_from(NAMES), st.integers(1, 34), st.integers(1, 34), st.integers(0, 30))
def test_poisoned_samples_carry_the_trigger_and_the_target(
    name: str, a: int, b: int, seed: int
) -> None:
    before = DATA.train.inputs.clone()
    inner, outer = (corrupt(name, seed, count=n, target_class=2) for n in sorted((a, b)))
    for found in (inner, outer):
        assert found.targets.tolist() == [2] * len(found.rows)
        assert found.rows.tolist() == sorted(set(found.rows.tolist()))
        assert found.inputs is not None
        assert torch.equal(found.inputs, show(name, DATA.train.inputs[found.rows]))
    assert len(inner.rows) == min(a, b)
    assert set(inner.rows.tolist()) <= set(outer.rows.tolist()) <= set(ROWS.tolist())
    assert torch.equal(DATA.train.inputs, before)


@pytest.mark.parametrize("name", NAMES)
def test_who_is_poisoned_does_not_depend_on_the_trigger(name: str) -> None:
    chosen = {"count": 9, "classes": [1, 2], "numpy_seed": 3}
    assert torch.equal(corrupt(name, **chosen).rows, corrupt("badnet", patch=1, **chosen).rows)
    clean_label = corrupt(name, count=5, classes=[1], target_class=1)
    assert DATA.train.targets[clean_label.rows].tolist() == clean_label.targets.tolist()


@pytest.mark.parametrize("name", NAMES)
def test_a_trigger_tells_its_moment_and_target_and_refuses_the_impossible(name: str) -> None:
    traits = get("corruptions", name).traits
    use = settings_of(name, count=1, target_class=3)
    assert (traits.when(use), traits.target_class(use)) == ("before", 3)
    with pytest.raises(HarnessError, match="class 4 does not exist; there are 4"):
        corrupt(name, count=1, target_class=4)
    with pytest.raises(HarnessError, match="35 samples are to be corrupted; only 34 can be"):
        corrupt(name, count=35)
