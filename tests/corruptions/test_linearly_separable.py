"""LSP: patches of one colour, their length, and that a linear model tells the classes apart."""

from __future__ import annotations

import pytest
import torch
from corruptions.small import images, made

from harness.components import Facts, get
from harness.corruptions.linearly_separable import LinearlySeparable
from harness.data.encodings import Images


@pytest.mark.parametrize(("shape", "patch"), [((3, 32, 32), 8), ((1, 28, 28), 7), ((3, 10, 9), 4)])
def test_patches_have_one_colour_each_and_every_image_the_published_length(
    shape: tuple[int, ...], patch: int
) -> None:
    labels = torch.tensor([0] * 12 + [1] * 3 + [2] * 7)  # one class is larger than an equal share
    data = images(torch.full((22, *shape), 128, dtype=torch.uint8), labels, 3)
    found = made("linearly_separable", data, patch=patch, rounding="none")
    apart = found.inputs - 128
    size = torch.tensor(shape).prod().sqrt()
    torch.testing.assert_close(found.tensors["l2"], (6 / 255 * size).expand(20))
    for top in range(0, shape[1], patch):
        for left in range(0, shape[2], patch):
            part = apart[:, :, top : top + patch, left : left + patch].flatten(2)
            torch.testing.assert_close(part, part[:, :, :1].expand(part.shape))
    assert len(apart.flatten(1).unique(dim=0)) == 20, "every image has a vector of its own"
    system = torch.cat([apart.flatten(1), torch.ones(20, 1)], 1).double()
    wanted = torch.eye(3, dtype=torch.float64)[labels[2:]]
    weights = torch.linalg.lstsq(system, wanted, driver="gelsd").solution
    assert torch.equal((system @ weights).argmax(1), labels[2:])
    stored = made("linearly_separable", data, patch=patch).inputs
    assert torch.equal(stored, found.inputs.to(torch.uint8)), "truncated, as published"


def test_the_length_at_cifar_size_is_1_304() -> None:
    data = images(torch.full((9, 3, 32, 32), 99, dtype=torch.uint8), torch.arange(9) % 3, 3)
    found = made("linearly_separable", data, rounding="none")
    assert found.tensors["l2"].tolist() == pytest.approx([1.304] * 7, abs=5e-4)
    assert found.tensors["linf"].max() > 8 / 255


def test_patches_that_are_too_few_for_the_classes_are_refused() -> None:
    check = get("corruptions", "linearly_separable").traits.check
    facts = Facts(Images((1, 8, 8), (0.5,), (0.5,)), 10, train=100, test=10)
    assert list(check(LinearlySeparable(patch=4), facts)) == []
    [misfit] = check(LinearlySeparable(patch=8), facts)
    assert misfit.setting == "patch"
    assert "1 x 1 patches" in misfit.what
