"""``fit`` against loops written by hand that make the same draws: the same bits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from harness.components import NoSettings, get
from harness.data.pool import Pool
from harness.data.types import DataRoot
from harness.spec.blocks import Train
from harness.spec.structure import structure_block, structure_use
from harness.training.loop import fit
from harness.training.seeding import generator, seeded_build
from harness.training.watch import Unwatched

DIGITS = get("datasets", "digits").function(NoSettings(), DataRoot(None, offline=True))
COUNT, SIZE, STEPS = 41, 8, 15  # 6 steps an epoch, the last with one sample


def network() -> nn.Module:
    use = structure_use("models", {"name": "small_cnn", "widths": [4, 6]})
    build = get("models", "small_cnn").function
    return seeded_build(lambda: build(use.settings, DIGITS.encoding, 10), "network")


def recipe(**changes: object) -> Train:
    plain = {"steps": STEPS, "batch_size": SIZE, "optimizer": {"name": "sgd", "lr": 0.05}}
    return structure_block(Train, {**plain, **changes})


def draws(purpose: str) -> torch.Generator:
    return generator("here", purpose)


def pool(augment: bool = False) -> Pool:
    uses = [structure_use("augmentations", {"name": "random_crop", "padding": 1})]
    return Pool(
        DIGITS.train, torch.arange(COUNT), encoding=DIGITS.encoding,
        augment=uses if augment else [],
    )  # fmt: skip


def batches(augment: bool = False) -> Any:
    """Batches made without ``Pool``: one permutation an epoch, then a seed for each batch."""
    stream = draws("batches")
    while True:
        order = torch.randperm(COUNT, generator=stream)
        seeds = torch.randint(2**62, (-(-COUNT // SIZE),), generator=stream).tolist()
        for number, seed in enumerate(seeds):
            rows = order[number * SIZE : (number + 1) * SIZE]
            images = DIGITS.train.inputs[rows]
            if augment:
                own = torch.Generator().manual_seed(seed)
                offsets = torch.randint(3, (2, len(rows), 1), generator=own)
                padded = F.pad(images, (1, 1, 1, 1))
                images = torch.stack(
                    [
                        image[:, top : top + 8, left : left + 8]
                        for image, top, left in zip(
                            padded, offsets[0, :, 0], offsets[1, :, 0], strict=True
                        )
                    ]
                )
            std = torch.tensor(DIGITS.encoding.std)
            x = images.float() * (1 / (255 * std)) - torch.tensor(DIGITS.encoding.mean) / std
            yield x, DIGITS.train.targets[rows]


def assert_same(found: nn.Module, expected: nn.Module) -> None:
    for name, value in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name


OPTIMISERS = {
    "sgd": (
        {"name": "sgd", "lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8, nesterov=True, weight_decay=0.01),
    ),
    "adam": (
        {"name": "adam", "lr": 0.01, "beta1": 0.8, "beta2": 0.9, "eps": 1e-6},
        lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.9), eps=1e-6),
    ),
    "adamw": (
        {"name": "adamw", "lr": 0.01, "weight_decay": 0.1},
        lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    ),
}


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_weights_and_losses_are_the_bits_of_a_plain_loop(name: str, augment: bool) -> None:
    written, make = OPTIMISERS[name]
    found, plain = network(), network()
    fitted = fit(found, pool(augment), recipe(optimizer=written), generator=draws)
    optimizer, losses = make(plain.parameters()), []
    plain.train()
    for _, (x, y) in zip(range(STEPS), batches(augment), strict=False):
        loss = F.cross_entropy(plain(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(round(loss.item(), 6))
    assert_same(found, plain)
    assert list(fitted.losses) == losses
    assert fitted.steps == STEPS


def test_the_rate_of_a_step_is_set_before_it_is_taken() -> None:
    found, plain = network(), network()
    sgd = {"name": "sgd", "lr": 0.2, "momentum": 0.0}
    warm = {"name": "linear", "warmup": 0.2, "stretch": 2.0}
    fit(found, pool(), recipe(optimizer=sgd, schedule=warm), generator=draws)
    plain.train()
    for step, (x, y) in zip(range(STEPS), batches(), strict=False):
        rate = 0.2 * ((step + 1) / 4 if step < 3 else 1 - (step - 3) / (2 * STEPS))
        plain.zero_grad()
        F.cross_entropy(plain(x), y).backward()
        with torch.no_grad():
            for weight in plain.parameters():
                weight -= rate * weight.grad
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, atol=1e-6, rtol=1e-5)


def test_gradients_are_cut_to_the_norm_of_all_parameters_together() -> None:
    found, plain = network(), network()
    sgd = {"name": "sgd", "lr": 0.5, "momentum": 0.0}
    fit(found, pool(), recipe(optimizer=sgd, clip_norm=0.1), generator=draws)
    plain.train()
    for _, (x, y) in zip(range(STEPS), batches(), strict=False):
        plain.zero_grad()
        F.cross_entropy(plain(x), y).backward()
        norm = sum(float((p.grad.double() ** 2).sum()) for p in plain.parameters()) ** 0.5
        with torch.no_grad():
            for weight in plain.parameters():
                weight -= 0.5 * min(1.0, 0.1 / (norm + 1e-6)) * weight.grad
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, atol=1e-6, rtol=1e-4)


def test_the_loss_smooths_labels_and_weighs_classes_by_the_formula() -> None:
    found: list[float] = []

    class Keep(Unwatched):
        def step(self, done: int, total: int, loss: float | None) -> None:
            found.append(loss)  # type: ignore[arg-type]

    train = recipe(steps=1, label_smoothing=0.2, class_weights="balanced")
    fit(network(), pool(), train, generator=draws, watch=Keep())
    x, y = next(batches())
    logs = network().train()(x).detach().double().log_softmax(1)
    counts = torch.bincount(DIGITS.train.targets[:COUNT], minlength=10).double()
    weights = COUNT / (10 * counts)
    given = 0.8 * (-logs[range(SIZE), y] * weights[y]).sum() / weights[y].sum()
    spread = 0.2 * (-(logs * weights).sum(1) / 10).sum() / weights[y].sum()
    assert found == [pytest.approx(float(given + spread), rel=1e-5)]


def test_a_loss_of_ones_own_gets_logits_and_the_batch() -> None:
    found, plain = network(), network()

    def squares(logits: torch.Tensor, batch: Any) -> torch.Tensor:
        return ((logits - F.one_hot(batch.y, 10)) ** 2).mean()

    fit(found, pool(), recipe(steps=7), generator=draws, loss=squares)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9)
    plain.train()
    for _, (x, y) in zip(range(7), batches(), strict=False):
        optimizer.zero_grad()
        ((plain(x) - F.one_hot(y, 10)) ** 2).mean().backward()
        optimizer.step()
    assert_same(found, plain)


def test_the_average_of_weights_and_buffers_follows_the_formula_step_by_step() -> None:
    decay, found, plain = 0.7, network(), network()
    fit(found, pool(), recipe(steps=9, ema=decay), generator=draws)
    average: dict[str, torch.Tensor] = {}

    class Average(Unwatched):
        def step(self, done: int, total: int, loss: float | None) -> None:
            for name, value in plain.state_dict().items():
                new = value.detach().double()
                old = average.get(name, new)  # the first step's weights start the average
                average[name] = decay * old + (1 - decay) * new

    fit(plain, pool(), recipe(steps=9), generator=draws, watch=Average())
    names = [name for name, value in found.state_dict().items() if value.is_floating_point()]
    assert any("running_mean" in name for name in names)
    for name in names:
        torch.testing.assert_close(
            found.state_dict()[name].double(), average[name], atol=1e-6, rtol=1e-5
        )


def test_the_best_weights_are_those_that_were_scored_best_and_the_first_of_equals() -> None:
    seen: list[dict[str, torch.Tensor]] = []
    scores = iter([0.1, 0.5, 0.5, 0.3, 0.2])

    def evaluate(net: nn.Module) -> float:
        assert not net.training
        seen.append({name: value.clone() for name, value in net.state_dict().items()})
        return next(scores)

    net = network()
    train = recipe(checkpoint="best_validation", evaluate_every=4)
    found = fit(net, pool(), train, generator=draws, evaluate=evaluate)
    assert len(seen) == 4  # steps 4, 8, 12, and the end
    assert found.best_step == 8
    for name, value in seen[1].items():
        assert torch.equal(net.state_dict()[name], value)


def test_evaluating_does_not_change_what_is_trained() -> None:
    first, second = network(), network()
    kept: list[dict[str, torch.Tensor]] = []

    def evaluate(net: nn.Module) -> float:
        net(torch.zeros(2, 1, 8, 8))
        kept.append({name: value.clone() for name, value in net.state_dict().items()})
        return float(len(kept))  # the last is the best

    train = recipe(checkpoint="best_test", evaluate_every=2)
    fit(first, pool(), train, generator=draws, evaluate=evaluate)
    fit(second, pool(), recipe(), generator=draws)
    assert_same(first, second)


def test_the_meter_counts_every_sample_once_forward_and_once_backward() -> None:
    watch = Unwatched()
    fit(network(), pool(), recipe(), generator=draws, watch=watch)
    samples = 2 * COUNT + 3 * SIZE
    assert watch.meter.as_dict() == {"forward": samples, "backward": samples, "steps": STEPS}
    assert watch.meter.work == 3 * samples


def test_frozen_parameters_stay_as_they_are() -> None:
    net = network()
    first = next(net.parameters())
    first.requires_grad_(False)
    before = first.clone()
    decayed = {"name": "sgd", "lr": 0.05, "weight_decay": 0.5}
    fit(net, pool(), recipe(optimizer=decayed), generator=draws)
    assert torch.equal(first, before)
