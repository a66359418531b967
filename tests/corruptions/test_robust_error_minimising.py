"""Robust error-minimising noise: by hand, against the plain form, its bounds and its cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from harness.training.watch import Unwatched
from noise_makers import PLAIN, corrupted, goes_on_exactly, linear, of

NAME = "robust_error_minimising"
IMAGES = torch.tensor([[100, 4, 250, 100], [100, 100, 100, 100]]).view(2, 1, 2, 2).to(torch.uint8)
STILL: dict[str, Any] = {
    "optimizer": {"name": "sgd", "lr": 1e-12}, "train_steps": 1, "augment": [], "draws": 1,
}  # fmt: skip


def test_a_linear_models_noise_is_the_sign_of_its_weights_with_and_without_adversary() -> None:
    """The adversary moves a linear model's images too, and not the sign of their gradient."""
    data, model = of(IMAGES, [0, 1], 2, PLAIN), linear([[1, -1, 2, -1], [0, 0, 0, 0]])
    for more in ({"adversarial_eps": 0}, {}, {"draws": 3}):
        found = corrupted(NAME, data, model, **{**STILL, **more})
        change = (found.inputs.int() - IMAGES.int()).flatten(1)  # type: ignore[union-attr]
        assert change.tolist() == [[8, -4, 5, -8], [-8, 8, -8, 8]]
        assert float(found.tensors["linf"].max()) <= 8 / 255 + 1e-6


def test_an_augmentation_that_flips_half_the_images_gives_the_sum_of_both_gradients() -> None:
    grey = torch.full_like(IMAGES, 100)
    data, model = of(grey, [0, 1], 2, PLAIN), linear([[3, -1, 3, -1], [0, 0, 0, 0]])
    more = {**STILL, "draws": 12, "augment": ["horizontal_flip"], "adversarial_eps": 0, "steps": 12}
    found = corrupted(NAME, data, model, **more)
    change = (found.inputs.int() - 100).flatten(1)  # type: ignore[union-attr]
    # Seen from both sides, every pixel counts as the mean of the weights 3 and -1.
    assert change.tolist() == [[8] * 4, [-8] * 4]


def test_every_pass_is_counted() -> None:
    data, watch = of(IMAGES, [0, 1], 2, PLAIN), Unwatched()
    more = {"steps": 3, "draws": 2, "adversarial_steps": 4, "train_steps": 5, "batch_size": 1}
    corrupted(
        NAME, data, linear([[1, 1, 2, 1], [0, 0, 0, 0]]), task={"watch": watch}, **{**STILL, **more}
    )
    noise = 3 * 2 * (4 + 1)
    assert (
        watch.meter.backward_samples
        == watch.meter.forward_samples
        == 5 * (noise + 4 + 1) + 2 * noise
    )


def test_it_goes_on_exactly_after_interruptions(tmp_path: Path) -> None:
    more = {"steps": 2, "draws": 2, "adversarial_steps": 1, "train_steps": 4, "batch_size": 12}
    whole = goes_on_exactly(NAME, tmp_path, (1, 3, 4, 6), **more)
    assert 0 < float(whole.tensors["linf"].max()) <= 8 / 255 + 1e-6
    assert whole.targets is None
