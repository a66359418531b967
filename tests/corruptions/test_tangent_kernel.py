"""NTGA: its kernel against wide networks, its predictions against gradient flow, its steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.func import grad, vmap
from torch.nn import functional as F

from harness.corruptions.tangent_kernel import Attack, kernel, learnt
from harness.training.watch import Meter
from noise_makers import goes_on_exactly, made, network, prepared

NAME = "tangent_kernel"


def test_the_kernel_is_that_of_a_wide_network() -> None:
    """The inner product of gradients, in the scaling where every weight is a standard normal."""
    settings, _ = prepared(NAME, made(), network(), layers=2)
    draws = torch.Generator().manual_seed(0)
    x, width, outputs = torch.rand(3, 20, generator=draws), 500, 2000
    first, bias, last = (
        torch.randn(shape, generator=draws)
        for shape in ((width, 20), (width,), (outputs, width + 1))
    )

    def output(
        first: torch.Tensor, bias: torch.Tensor, last: torch.Tensor, one: torch.Tensor
    ) -> torch.Tensor:
        hidden = (1.76**0.5 * first @ one / 20**0.5 + 0.18**0.5 * bias).erf()
        return (1.76**0.5 * last[1:] @ hidden / width**0.5 + 0.18**0.5 * last[0]).erf()

    gradients = vmap(grad(output, argnums=(0, 1, 2)), in_dims=(None, None, 0, None))
    parts = [gradients(first, bias, last, one) for one in x]
    each = torch.stack([torch.cat([g.flatten(1) for g in part], 1) for part in parts])
    empirical = torch.einsum("iop,jop->ij", each, each) / outputs
    found = kernel(x.double(), x.double(), settings).float()
    torch.testing.assert_close(found, empirical, rtol=0.05, atol=0)


def test_predictions_are_those_of_gradient_descent_in_small_steps() -> None:
    found, _ = prepared(NAME, made(), network(), time=200.0)
    x = torch.rand(6, 12, generator=torch.Generator().manual_seed(1)).double()
    y = F.one_hot(torch.tensor([0, 1, 2, 0, 1, 2]), 3).double()
    matrix, coefficients = kernel(x, x, found), torch.zeros(6, 3).double()
    for _ in range(20_000):  # f = K c, moved against the gradient of its mean squared error / 2
        coefficients -= 0.01 / y.numel() * (matrix @ coefficients - y)
    torch.testing.assert_close(learnt(x, y, found), coefficients, rtol=1e-2, atol=1e-3)


def test_the_gradient_is_that_of_finite_differences_and_a_step_follows_its_sign() -> None:
    data = made(12)
    found, task = prepared(NAME, data, network(), block=5, steps=4, attacked=9, rounding="none")
    brew = Attack(data.train.inputs, data.train.targets, found, task)
    images, onehot = data.train.inputs[:5].double(), brew.onehot[:5]
    loss, slope = brew.slope(images.clone(), onehot)
    for place in ((0, 0, 1, 2), (3, 2, 5, 7), (4, 1, 0, 0)):
        moved = [images.clone(), images.clone()]
        for sign, each in zip((1, -1), moved, strict=True):
            each[place] += sign * 0.1
        high, low = (brew.slope(each, onehot)[0] for each in moved)
        assert float(slope[place]) / 9 == pytest.approx((high - low) / 0.2, rel=1e-3)
    before = brew.step(Meter())
    brew.done += 1
    assert brew.step(Meter()) > before
    largest = 2 * 255 * 1.1 * (8 / 255) / 4
    assert float(brew.change.detach().abs().max()) == pytest.approx(largest, rel=1e-4)
    assert loss > 0


def test_it_goes_on_exactly_after_interruptions(tmp_path: Path) -> None:
    more: dict[str, Any] = {"block": 12, "steps": 2, "attacked": 20}
    whole = goes_on_exactly(NAME, tmp_path, (1, 2, 5), **more)
    assert float(whole.tensors["linf"].min()) > 0
    assert float(whole.tensors["linf"].max()) <= 8 / 255 + 1e-6
    assert whole.targets is None
