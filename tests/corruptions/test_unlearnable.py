"""What perturbations of whole training sets share, noise as their control, and what they cost."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from corruptions.small import images, made, random_images, small_search
from torch import nn

from harness.components import get
from harness.corruptions.unlearnable import finish, norms
from harness.data.types import Dataset

__all__ = ["small_search"]
GENERATORS = {
    "noise": {},
    "linearly_separable": {"patch": 4},
    "one_pixel": {},
    "convolution_filters": {},
}


def test_images_are_clipped_and_stored_by_the_rule() -> None:
    clean = torch.tensor([[[[0, 100, 250, 7]]]], dtype=torch.uint8)
    delta = torch.tensor([[[[-3.0, 0.7, 9.0, -0.5]]]])
    assert finish(clean, delta).flatten().tolist() == [0, 101, 255, 6]  # 6.5 to even
    assert finish(clean, delta, "truncate").flatten().tolist() == [0, 100, 255, 6]
    exact = finish(clean, delta, "none")
    torch.testing.assert_close(exact.flatten(), torch.tensor([0, 100.7, 255, 6.5]))


def test_norms_are_of_each_stored_image_in_intensities_of_one() -> None:
    clean = torch.full((2, 1, 2, 2), 100, dtype=torch.uint8)
    stored = clean.clone()
    stored[1, 0, 0] = torch.tensor([103, 96], dtype=torch.uint8)
    found = norms(clean, stored)
    torch.testing.assert_close(found["linf"], torch.tensor([0, 4 / 255]))
    torch.testing.assert_close(found["l2"], torch.tensor([0, 5 / 255]))


@pytest.mark.parametrize("name", [*GENERATORS, "autoregressive"])
def test_of_a_share_rows_are_nested_labels_stay_and_norms_are_those_of_the_images(
    name: str, small_search: None
) -> None:
    settings = {"response": 2.0} if name == "autoregressive" else GENERATORS[name]
    data = random_images(42, 3, 8, 8)
    half, whole = (made(name, data, share=share, **settings) for share in (0.5, 1.0))
    assert (len(half.rows), whole.rows.tolist()) == (20, list(range(2, 42)))
    assert set(half.rows.tolist()) < set(whole.rows.tolist())
    assert whole.targets is None
    assert whole.inputs is not None
    assert whole.inputs.dtype == torch.uint8
    apart = (whole.inputs.float() - data.train.inputs[whole.rows].float()).flatten(1) / 255
    torch.testing.assert_close(whole.tensors["linf"], apart.abs().amax(1))
    torch.testing.assert_close(whole.tensors["l2"], apart.norm(dim=1))
    assert whole.tensors["l2"].min() > 0
    again, other = made(name, data, **settings), made(name, data, seed="t", **settings)
    assert torch.equal(whole.inputs, again.inputs)
    assert torch.equal(whole.inputs, other.inputs) == (name == "one_pixel"), "which draws nothing"
    traits = get("corruptions", name).traits
    assert traits.leaves <= whole.tensors.keys()


@pytest.mark.parametrize("distribution", ["uniform", "sign", "gaussian"])
def test_noise_keeps_its_norm_on_the_images_that_are_trained_on(distribution: str) -> None:
    data, grey = random_images(30, 3, 8, 8), torch.full((30, 1, 9, 7), 128, dtype=torch.uint8)
    found = made("noise", data, distribution=distribution, epsilon=5)
    assert found.tensors["linf"].max() <= 5.001 / 255
    assert found.tensors["linf"].max() > 4.4 / 255
    middle = images(grey, torch.arange(30) % 3, 3)
    settings: dict[str, Any] = {"distribution": distribution, "norm": "l2", "epsilon": 0.4}
    exact = made("noise", middle, rounding="none", **settings)
    torch.testing.assert_close(exact.tensors["l2"], torch.full((28,), 0.4))
    rounded = made("noise", middle, **settings)
    most = 0.5 / 255 * math.sqrt(9 * 7)  # what rounding can add
    assert (rounded.tensors["l2"] - 0.4).abs().max() <= most
    assert (rounded.inputs.float() - exact.inputs).abs().max() <= 0.5


def weak(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of four classes that many pixels tell apart, none of them much."""
    templates = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    draws, labels = torch.Generator().manual_seed(seed), torch.arange(count) % 4
    values = 128 + 3 * templates[labels] + 20 * torch.randn(count, 3, 16, 16, generator=draws)
    return values.round().clamp(0, 255).to(torch.uint8), labels


def accuracies(
    model: nn.Module, data: Dataset, inputs: torch.Tensor, steps: int, rate: float
) -> tuple[float, float]:
    """Of the training images, and of clean ones, after a training on ``inputs``."""
    draws = torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), rate, momentum=0.9)
    x, y = data.encoding.batch(inputs), data.train.targets[2:]
    for _ in range(steps):
        batch = torch.randint(len(x), (200,), generator=draws)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
    test, labels = weak(400, seed=2)
    with torch.no_grad():
        pairs = ((x, y), (data.encoding.batch(test), labels))
        trained, clean = (float((model(a).argmax(1) == b).float().mean()) for a, b in pairs)
    return trained, clean


def test_clean_accuracy_falls_with_each_but_not_with_noise_of_the_same_length() -> None:
    data = images(*weak(1202, seed=1), 4)

    def trained(inputs: torch.Tensor) -> tuple[float, float]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4))
        return accuracies(model, data, inputs, steps=60, rate=0.01)

    _, clean = trained(data.train.inputs[2:])
    assert clean > 0.9
    for name, settings in GENERATORS.items():
        found = made(name, data, **settings)
        if name == "noise":
            continue
        own, fallen = trained(found.inputs)
        assert own > 0.99, name
        assert fallen < clean - 0.2, name
        length = float(found.tensors["l2"].mean())
        if length < 2:  # the filters change too much for noise to be a control of
            control = made("noise", data, norm="l2", epsilon=length)
            assert trained(control.inputs)[1] > clean - 0.05, name


@pytest.mark.slow  # it takes a convolution to see what is autoregressive
def test_clean_accuracy_falls_with_autoregressive_noise_but_not_with_plain_noise() -> None:
    data = images(*weak(1202, seed=1), 4)

    def trained(inputs: torch.Tensor) -> tuple[float, float]:
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, 16, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16 * 49, 4)
        )
        return accuracies(model, data, inputs, steps=80, rate=0.2)

    found = made("autoregressive", data, l2=2.0, response=6.0)
    control = made("noise", data, norm="l2", epsilon=2.0)
    own, fallen = trained(found.inputs)
    assert own > 0.99
    assert fallen < trained(control.inputs)[1] - 0.2
