"""AR: the recurrence against one value at a time, and which coefficients are found."""

from __future__ import annotations

import pytest
import torch
from corruptions.small import images, made, small_search

from harness.corruptions import autoregressive
from harness.corruptions.autoregressive import CROP, Autoregressive, answers, patterns, processes
from harness.errors import HarnessError

__all__ = ["small_search"]
SHAPE = torch.Size((2, 5, 4))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_every_value_follows_from_its_neighbours_in_raster_order() -> None:
    coefficients = torch.randn(3, 2, 3, 3, generator=generator()) / 4
    coefficients[..., 2, 2] = 0
    found = patterns(coefficients, 5, 4, generator())
    draws, values = generator(), torch.zeros(3, 2, 5 + CROP, 4 + CROP)
    values[:, :, :2] = torch.randn(2, 4 + CROP, 3, 2, generator=draws).permute(2, 3, 0, 1)
    values[:, :, 2:, :2] = torch.randn(3 + CROP, 2, 3, 2, generator=draws).permute(2, 3, 0, 1)
    for i in range(2, 5 + CROP):
        for j in range(2, 4 + CROP):
            window = values[:, :, i - 2 : i + 1, j - 2 : j + 1].clone()
            values[:, :, i, j] = (window * coefficients).sum((2, 3))
    torch.testing.assert_close(found, values[:, :, CROP:, CROP:])
    own = answers(coefficients, found).diag()
    torch.testing.assert_close(own, torch.zeros(3), atol=1e-4, rtol=0)


def test_a_process_that_repeats_its_left_neighbour_makes_stripes() -> None:
    coefficients = torch.zeros(1, 1, 3, 3)
    coefficients[0, 0, 2, 1] = 1
    found = patterns(coefficients, 6, 6, generator())[0, 0]
    assert torch.equal(found, found[:, :1].expand(6, 6))
    assert len(found[:, 0].unique()) == 6


def test_coefficients_sum_to_one_and_filters_answer_all_later_classes(small_search: None) -> None:
    found = processes(Autoregressive(response=4), 3, SHAPE, generator())
    assert found.shape == (3, 2, 3, 3)
    assert (found[..., 2, 2] == 0).all()
    torch.testing.assert_close(found.sum((2, 3)), torch.ones(3, 2))
    fresh = patterns(found.repeat(20, 1, 1, 1), 32, 32, generator())
    lengths = fresh.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    assert lengths.max() < 50
    responses = answers(found, fresh / lengths).view(20, 3, 3).mean(0)
    for later in range(3):
        assert (responses[later, :later] > 3).all()  # of new patterns; 4 of those tried


def test_a_search_without_end_is_given_up(
    small_search: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoregressive, "ROUNDS", 1)
    with pytest.raises(HarnessError, match=r"of 3 were found among 256; lower 'response'"):
        processes(Autoregressive(response=1000), 3, SHAPE, generator())


def test_each_image_has_noise_of_its_own_of_the_stated_length(small_search: None) -> None:
    data = images(torch.full((12, 1, 8, 8), 128, dtype=torch.uint8), torch.arange(12) % 2, 2)
    exact = made("autoregressive", data, l2=0.3, response=2, rounding="none")
    torch.testing.assert_close(exact.tensors["l2"], torch.full((10,), 0.3))
    assert len((exact.inputs - 128).flatten(1).unique(dim=0)) == 10
    filters, noise = exact.tensors["coefficients"], (exact.inputs - 128) / 255
    own = answers(filters, noise)[torch.arange(10), data.train.targets[2:]]
    assert own.max() < 1e-4, "its own class's filter predicts it"
    rounded = made("autoregressive", data, l2=0.3, response=2)
    assert (rounded.tensors["l2"] - 0.3).abs().max() < 0.5 / 255 * 8
