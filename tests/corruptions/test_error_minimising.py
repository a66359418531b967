"""Error-minimising noise: its steps by hand, its bounds, its rounds, and what it costs a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from harness.training.watch import Unwatched
from noise_makers import PLAIN, corrupted, goes_on_exactly, linear, made, network, of

NAME = "error_minimising"
STILL = {"optimizer": {"name": "sgd", "lr": 1e-12}, "rounds": 1, "train_steps": 1}
PIXELS = torch.tensor([[100, 3, 250, 100], [100, 100, 100, 100], [0, 255, 100, 40]])
WEIGHT = [[1.0, -1, 2, -3], [0, 0, 0, 0]]
IMAGES = PIXELS.view(3, 1, 2, 2).to(torch.uint8)


@pytest.mark.parametrize("batch_size", [1, 2, 512])
def test_a_linear_models_noise_is_the_sign_of_its_weights(batch_size: int) -> None:
    """Of two classes the loss falls along w_y - w_other, whatever the image."""
    data, model = of(IMAGES, [0, 1, 1], 2, PLAIN), linear(WEIGHT)
    steps = {"steps": 3, "step_size": 2 / 255, "eps": 5 / 255, "batch_size": batch_size}
    found = corrupted(NAME, data, model, **STILL, **steps)
    change = found.inputs.int() - IMAGES.int()  # type: ignore[union-attr]
    by_hand = [[5, -3, 5, -5], [-5, 5, -5, 5], [0, 0, -5, 5]]
    assert change.flatten(1).tolist() == by_hand
    torch.testing.assert_close(found.tensors["linf"], torch.full((3,), 5 / 255))
    l2 = torch.tensor(by_hand).float().norm(dim=1) / 255
    torch.testing.assert_close(found.tensors["l2"], l2)


def test_noise_of_a_class_is_the_mean_of_what_its_images_ask_for() -> None:
    data, model = of(IMAGES, [0, 1, 1], 2, PLAIN), linear(WEIGHT)
    more = {"noise_of": "class", "step_size": 4 / 255, "rounding": "none"}
    found = corrupted(NAME, data, model, **STILL, **more)
    # Class 1 asks for (-4, 4, -4, 4) and (0, 0, -4, 4), the latter at the ends of the range.
    by_hand = PIXELS + torch.tensor([[4, -3, 4, -4], [-2, 2, -4, 4], [-2, 2, -4, 4]])
    torch.testing.assert_close(found.inputs.flatten(1), by_hand.float().clamp(0, 255))  # type: ignore[union-attr]


def test_rounds_end_at_the_accuracy_or_at_their_cap_and_every_pass_is_counted() -> None:
    data = of(IMAGES, [0, 1, 1], 2, PLAIN)
    fits, fails = linear(WEIGHT), linear([[0, 0, 0, 0], [-9, -9, -9, -9]])
    for model, accuracies, rounds in ((fits, [1.0], 1), (fails, [1 / 3] * 4, 4)):
        watch = Unwatched()
        more: dict[str, Any] = {**STILL, "rounds": 4, "steps": 5, "train_steps": 2, "eps": 0.001}
        if model is fits:
            more["eps"] = 1.0
            more["step_size"] = 1.0
        found = corrupted(NAME, data, model, task={"watch": watch}, batch_size=2, **more)
        assert found.tensors["accuracies"].tolist() == pytest.approx(accuracies)
        learned = 3 * rounds  # two batches, of two images and of one
        assert watch.meter.steps == 2 * rounds
        assert watch.meter.backward_samples == learned + 5 * 3 * rounds
        assert watch.meter.forward_samples == learned + (5 + 1) * 3 * rounds


@pytest.mark.parametrize(
    "kind", [{"memory_format": "channels_last"}, {"noise_of": "class"}], ids=["sample", "class"]
)
def test_it_goes_on_exactly_after_interruptions(kind: dict[str, str], tmp_path: Path) -> None:
    # A round is three steps of training, three of search and three of measuring.
    more = {"rounds": 3, "train_steps": 3, "steps": 2, "batch_size": 12, "stop": 1.0}
    whole = goes_on_exactly(NAME, tmp_path, (1, 5, 8, 9, 17), **kind, **more)
    assert len(whole.tensors["accuracies"]) == 3
    assert float(whole.tensors["linf"].max()) <= 8 / 255 + 1e-6
    assert whole.targets is None


def test_noise_belongs_to_its_row_whatever_share_is_changed() -> None:
    data = made()
    found = corrupted(NAME, data, network(), share=0.5, rounds=1, steps=1, batch_size=4)
    assert len(found.rows) == 15
    change = found.inputs.int() - data.train.inputs[found.rows].int()  # type: ignore[union-attr]
    assert 0 < int(change.abs().max()) <= 1
