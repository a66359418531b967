"""OPS against a slow version, at pixels that never change, and on vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from corruptions.small import images, made, random_images, vectors

from harness.components import Facts, get
from harness.corruptions.one_pixel import OnePixel, shortcuts
from harness.data.encodings import Images


def slow(pixels: np.ndarray, labels: np.ndarray, classes: int) -> list[tuple[int, list[int]]]:
    """The published search, one candidate at a time."""
    channels, count = pixels.shape[1:]
    used: set[tuple[int, int]] = set()
    found = []
    for label in range(classes):
        own, best = pixels[labels == label] / 255, (-1.0, 0, 0)
        for place in range(count):
            for corner in range(2**channels):
                colour = [corner >> (channels - 1 - c) & 1 for c in range(channels)]
                apart = np.abs(np.array(colour) - own[:, :, place])
                score = 0.0 if (place, corner) in used else apart.mean() / apart.std()
                best = max(best, (score, place, corner), key=lambda b: b[0])
        _, place, corner = best
        used.add((place, corner))
        found.append((place, [corner >> (channels - 1 - c) & 1 for c in range(channels)]))
    return found


@pytest.mark.parametrize("channels", [1, 3])
def test_the_pixel_and_its_colour_are_those_of_the_published_search(channels: int) -> None:
    data = random_images(60, channels, 3, 4)
    data.train.inputs[::4] = data.train.inputs[1::4]  # two classes want the same
    pixels, labels = data.train.inputs.flatten(2), data.train.targets
    places, colours = shortcuts(pixels, labels, 4, "published")
    found = list(zip(places.tolist(), colours.int().tolist(), strict=True))
    assert found == slow(pixels.numpy(), labels.numpy(), 4)


def test_each_image_of_a_class_has_its_pixel_and_nothing_else_changes() -> None:
    # Of class 0 the third pixel is always dark, of class 1 the first one always bright.
    inputs = torch.randint(60, 190, (42, 1, 2, 2), generator=torch.Generator().manual_seed(0))
    inputs[0::2, 0, 1, 0] = 20 + torch.arange(21) % 2
    inputs[1::2, 0, 0, 0] = 230 + torch.arange(21) % 2
    data = images(inputs.to(torch.uint8), torch.arange(42) % 2, 2)
    found = made("one_pixel", data)
    assert found.tensors["places"].tolist() == [2, 0]
    expected = data.train.inputs[2:].clone()
    expected[0::2, 0, 1, 0] = 255
    expected[1::2, 0, 0, 0] = 0
    assert torch.equal(found.inputs, expected)
    assert found.tensors["linf"].min() >= 230 / 255


def test_where_a_pixel_never_changes_the_published_score_does_nothing_and_the_repaired_does() -> (
    None
):
    inputs = torch.randint(0, 256, (62, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    inputs[:, 0, 0] = 0  # a black edge, as MNIST's
    data = images(inputs.to(torch.uint8), torch.arange(62) % 3, 3)
    idle = made("one_pixel", data, score="published")
    assert idle.tensors["l2"].max() == 0
    for score in ("repaired", "automatic"):
        found = made("one_pixel", data, score=score)
        assert found.tensors["l2"].min() == 1, "a black pixel is white"
        assert len(found.tensors["places"].unique()) == 3
        assert found.tensors["places"].max() < 4


def test_of_a_vector_one_feature_is_set_to_its_least_or_largest_value() -> None:
    draws = torch.Generator().manual_seed(0)
    inputs, labels = torch.randn(62, 5, generator=draws), torch.arange(62) % 3
    inputs[:, 2] = 4.0  # nothing can be told by it
    inputs[labels == 0, 1] = 3 + 0.01 * torch.randn(21, generator=draws)
    data = vectors(inputs, labels, 3)
    found = made("one_pixel", data)
    clean = inputs[2:]
    apart = found.inputs != clean
    assert (apart.sum(1) <= 1).all()
    places = found.tensors["places"][labels[2:]]
    assert not (places == 2).any()
    assert found.tensors["places"][0] == 1
    assert (found.inputs[labels[2:] == 0, 1] == clean[:, 1].min()).all()
    torch.testing.assert_close(found.tensors["linf"], (found.inputs - clean).abs().amax(1))


def test_more_classes_than_pixels_are_refused() -> None:
    check = get("corruptions", "one_pixel").traits.check
    facts = Facts(Images((1, 3, 3), (0.5,), (0.5,)), 10, train=100, test=10)
    [misfit] = check(OnePixel(), facts)
    assert "10 classes" in misfit.what
