"""Adversarial poisons: their steps by hand, their bounds, their restarts, their cost."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.errors import HarnessError
from harness.training.watch import Unwatched
from noise_makers import PLAIN, corrupted, goes_on_exactly, linear, made, network, of

NAME = "targeted_adversarial"
IMAGES = torch.tensor([[100, 200, 90, 100], [100, 0, 255, 40]]).view(2, 1, 2, 2).to(torch.uint8)
WEIGHT = [[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 9.0, 0]]
FIRM = {"augment": [], "restarts": 1, "steps": 40, "eps": 6 / 255, "step_size": 1 / 255}


@pytest.mark.parametrize(
    ("more", "direction"),
    [
        # Where class 2 has all probability, its logit is what matters, and the own class's.
        ({}, [[0, 1, -1, 0], [1, 0, -1, 0]]),
        ({"offset": 0}, [[1, 0, -1, 0], [0, 0, 0, 0]]),
        ({"targeted": False}, [[-1, 0, 1, 0], [0, 0, 0, 0]]),
    ],
)
def test_a_linear_models_images_move_along_its_weights(
    more: dict[str, Any], direction: list[list[int]]
) -> None:
    """Labels 0 and 2. Gradients that underflow to zero move nothing from where noise began."""
    data = of(IMAGES, [0, 2], 3, PLAIN)
    found = corrupted(NAME, data, linear(WEIGHT), **FIRM, **more)
    change = (found.inputs.int() - IMAGES.int()).flatten(1)  # type: ignore[union-attr]
    low, high = -IMAGES.flatten(1).int(), 255 - IMAGES.flatten(1).int()
    wanted = (6 * torch.tensor(direction)).clamp(low, high)
    moved = torch.tensor(direction) != 0
    assert torch.equal(change[moved], wanted[moved])
    assert int(change.abs().max()) <= 6
    torch.testing.assert_close(found.tensors["linf"], change.abs().amax(1) / 255)


def test_every_image_keeps_its_best_start() -> None:
    data, kept = made(), set()
    more = {"augment": [], "steps": 3, "batch_size": 7, "eps": 0.2, "step_size": 0.02}
    runs = [corrupted(NAME, data, network(), restarts=count, **more) for count in (1, 2, 3)]
    for fewer, more_starts in pairwise(runs):
        before, after = fewer.tensors["losses"], more_starts.tensors["losses"]
        assert bool((after <= before).all())
        same = (fewer.inputs == more_starts.inputs).flatten(1).all(1)  # type: ignore[union-attr]
        assert torch.equal(same, after == before)  # others change no start
        kept |= {*same.tolist()}
    assert kept == {True, False}


def test_it_goes_on_exactly_after_interruptions(tmp_path: Path) -> None:
    more = {"restarts": 2, "steps": 3, "batch_size": 12}
    whole = goes_on_exactly(NAME, tmp_path, (1, 3, 5, 6, 10, 17), **more)
    assert float(whole.tensors["linf"].max()) <= 8 / 255 + 1e-6
    assert whole.targets is None
    assert bool(whole.tensors["losses"].isfinite().all())


def test_every_pass_is_counted_and_a_loss_that_is_none_is_refused() -> None:
    data, watch = of(IMAGES, [0, 2], 3, PLAIN), Unwatched()
    corrupted(NAME, data, linear(WEIGHT), task={"watch": watch}, **{**FIRM, "restarts": 3})
    assert watch.meter.forward_samples == watch.meter.backward_samples == 2 * 3 * 40
    broken = [[torch.nan] * 4] * 3
    with pytest.raises(HarnessError, match="targeted_adversarial: the loss is nan at step 1"):
        corrupted(NAME, data, linear(broken), **FIRM)
