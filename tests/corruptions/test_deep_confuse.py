"""DeepConfuse: the gradient through a victim's step, its bounds, and its cost."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn import functional as F

from harness.corruptions.deep_confuse import Confusing
from harness.data.encodings import Images
from harness.training.watch import Meter, Unwatched
from noise_makers import corrupted, goes_on_exactly, made, network, of, prepared

NAME = "deep_confuse"
PLAIN = Images((1, 4, 4), mean=(0.2,), std=(0.5,))
SMALL = {"outer_epochs": 2, "inner_epochs": 2, "batch_size": 12, "width": 2}


def test_the_generators_gradient_is_that_of_softmax_regression_one_step_ahead() -> None:
    """The victim's step is written out: W - lr (p - onehot)' x / B."""
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(40, 200, (6, 1, 4, 4), generator=draws, dtype=torch.uint8)
    data = of(images, [0, 1, 2, 0, 1, 2], 3, PLAIN)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3, bias=False))
    found, task = prepared(NAME, data, model, lr=0.7, eps=0.1, **SMALL)
    brew = Confusing(images, data.train.targets, found, task)
    loss = brew.ahead(images.float(), data.train.targets)
    generator, parameters = brew.maker.model, list(brew.maker.model.parameters())
    slopes = torch.autograd.grad(loss, parameters)

    clean = (images.float() / 255 - 0.2) / 0.5
    shown = (clean + generator(clean) * 25 / 255 / 0.5).flatten(1)  # a ball of 25 whole intensities
    weight = brew.victim.model[1].weight.detach()
    wrong = (shown @ weight.T).softmax(1) - F.one_hot(data.train.targets, 3)
    ahead = weight - 0.7 * wrong.T @ shown / len(images)
    by_hand = F.cross_entropy(clean.flatten(1) @ ahead.T, data.train.targets)
    torch.testing.assert_close(loss, by_hand)
    for slope, wanted in zip(slopes, torch.autograd.grad(by_hand, parameters), strict=True):
        torch.testing.assert_close(slope, wanted, rtol=1e-3, atol=1e-6)
    assert any(bool(slope.abs().max() > 1e-4) for slope in slopes)


def test_a_victim_begins_anew_in_each_outer_epoch_and_meets_the_generator_of_the_last() -> None:
    data = made()
    found, task = prepared(NAME, data, network(), **SMALL)
    brew = Confusing(data.train.inputs, data.train.targets, found, task)
    before = brew.used.last.weight.clone()
    for brew.done in range(6):
        brew.step(Meter())
        assert torch.equal(brew.used.last.weight, before)
    learnt, trained = brew.maker.model.last.weight.clone(), brew.victim.model[0].weight.clone()
    assert not torch.equal(learnt, before)
    brew._begin(1)
    assert torch.equal(brew.used.last.weight, learnt)
    assert not torch.equal(brew.victim.model[0].weight, trained)
    assert int(brew.victim.model[1].num_batches_tracked) == 0


def test_every_pass_is_counted() -> None:
    data, watch = made(), Unwatched()
    corrupted(NAME, data, network(), task={"watch": watch}, **SMALL)
    assert watch.meter.forward_samples == 3 * 4 * 30
    assert watch.meter.backward_samples == 5 * 4 * 30


def test_it_goes_on_exactly_after_interruptions(tmp_path: Path) -> None:
    whole = goes_on_exactly(NAME, tmp_path, (1, 5, 6, 11), **SMALL)
    assert 0 < float(whole.tensors["linf"].max()) <= 8 / 255 + 1e-6  # the whole part of 8.16
    assert whole.targets is None
