"""CUDA against torch's convolution, one image at a time."""

from __future__ import annotations

import pytest
import torch
from corruptions.small import images, made, random_images
from torch.nn import functional

from harness.components import Facts, get
from harness.corruptions.convolution_filters import ConvolutionFilters
from harness.data.encodings import Images


@pytest.mark.parametrize(("channels", "side"), [(1, 3), (3, 5)])
def test_images_go_through_their_classs_filter_and_are_divided_by_their_largest_value(
    channels: int, side: int
) -> None:
    data = random_images(22, channels, 6, 7)
    found = made("convolution_filters", data, side=side, rounding="none")
    filters = found.tensors["filters"]
    assert filters.shape == (4, side, side)
    assert ((filters == 1).flatten(1).sum(1) == 1).all()
    assert filters[filters < 1].max() <= 0.3
    for row, image in zip(found.rows.tolist(), found.inputs, strict=True):
        own = filters[data.train.targets[row]].expand(channels, 1, side, side)
        slow = functional.conv2d(
            data.train.inputs[row][None].float(), own, padding=side // 2, groups=channels
        )[0]
        torch.testing.assert_close(image, 255 * slow / slow.max())


def test_a_filter_of_nothing_but_its_one_moves_the_image_and_black_stays_black() -> None:
    inputs = torch.zeros(6, 1, 5, 5, dtype=torch.uint8)
    inputs[3:, 0, 2, 2] = 51
    inputs[3:, 0, 2, 3] = 17
    found = made("convolution_filters", images(inputs, torch.zeros(6).long(), 1), blur=0.0)
    assert not found.inputs[0].any()
    [place] = found.tensors["filters"][0].nonzero().tolist()
    expected = torch.zeros(5, 5, dtype=torch.uint8)
    down, right = 2 + 1 - place[0], 2 + 1 - place[1]
    expected[down, right : right + 2] = torch.tensor([255, 85], dtype=torch.uint8)
    assert torch.equal(found.inputs[1, 0], expected)


def test_a_filter_without_a_middle_is_refused() -> None:
    check = get("corruptions", "convolution_filters").traits.check
    facts = Facts(Images((1, 8, 8), (0.5,), (0.5,)), 10, train=100, test=10)
    assert [m.setting for m in check(ConvolutionFilters(side=4), facts)] == ["side"]
    assert list(check(ConvolutionFilters(), facts)) == []
