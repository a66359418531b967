"""Adversaries of a training, on linear models whose worst inputs are known."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from harness.components import get
from harness.data.encodings import Images
from harness.data.pool import Batch, Pool
from harness.data.types import Split
from harness.errors import Interrupted
from harness.spec.blocks import Train
from harness.spec.structure import structure_block, structure_use
from harness.training.adversary import Adversary
from harness.training.loop import fit
from harness.training.parameters import optimizer_of
from harness.training.run import Fitted
from harness.training.seeding import generator
from harness.training.watch import Unwatched

ENCODING = Images((3, 4, 4), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.25))
INPUTS = torch.randint(
    40, 216, (24, 3, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
)
SPLIT = Split(INPUTS, torch.arange(24) % 2)


def pool() -> Pool:
    return Pool(SPLIT, torch.arange(24), encoding=ENCODING)


def linear(norm: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.BatchNorm2d(3)] if norm else []
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(48, 2))


def adversary(**settings: object) -> Adversary:
    return Adversary(
        structure_use("adversaries", settings), ENCODING, torch.Generator().manual_seed(7)
    )


def whole() -> Batch:
    (batch,) = pool().ordered(24)
    return batch


@pytest.mark.parametrize("start", ["image", "uniform", "gaussian"])
def test_pgd_finds_the_corner_of_the_ball_that_a_linear_model_fears_most(start: str) -> None:
    model, batch = linear(), whole()
    found = adversary(name="pgd", eps=4, step_size=2, steps=8, start=start)(model, batch, 0)
    changes = ENCODING.intensities(found.x) - INPUTS
    assert changes.abs().max().item() == pytest.approx(4, abs=1e-3)
    assert torch.equal(found.y, batch.y)
    # The margin of class 0 over 1 falls by eps times the L1 norm of its gradient in intensities.
    gradient = (model[1].weight[0] - model[1].weight[1]).view(3, 4, 4)
    gradient = gradient / (255 * torch.tensor(ENCODING.std).view(3, 1, 1))
    fall = 4 * gradient.abs().sum()
    sign = 1 - 2 * batch.y
    margins = [sign * (z[:, 0] - z[:, 1]) for z in (model(batch.x), model(found.x))]
    assert torch.allclose(margins[0] - margins[1], fall.expand(24), atol=1e-3)


def test_a_model_keeps_its_modes_and_no_gradient_of_the_search() -> None:
    model = linear(norm=True)
    model.train()
    model[2].eval()
    before = copy.deepcopy(model.state_dict())
    adversary(name="pgd", steps=2)(model, whole(), 0)
    assert [layer.training for layer in model] == [True, True, False]
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_pixels_stay_within_the_image_range_and_draws_follow_the_step() -> None:
    split = Split(torch.full((4, 3, 4, 4), 254, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]))
    (batch,) = Pool(split, torch.arange(4), encoding=ENCODING).ordered(4)
    model, search = linear(norm=True).eval(), adversary(name="pgd", steps=1)
    found = search(model, batch, 3)
    assert ENCODING.intensities(found.x).max() <= 255 + 1e-3
    assert torch.equal(found.x, search(model, batch, 3).x)
    search = adversary(name="pgd", steps=1, start="uniform", step_size=0.01)
    assert not torch.equal(search(model, batch, 3).x, search(model, batch, 4).x)


def test_the_worst_draw_of_each_image_is_kept() -> None:
    model, batch = linear().eval(), whole()
    found = adversary(name="worst_draw", draws=3, augment=["horizontal_flip"])(model, batch, 0)
    with torch.no_grad():
        both = [
            F.cross_entropy(model(ENCODING.batch(images)), batch.y, reduction="none")
            for images in (INPUTS, INPUTS.flip(-1))
        ]
        kept = F.cross_entropy(model(found.x), batch.y, reduction="none")
    worse = torch.maximum(*both)
    assert (
        torch.isclose(kept, both[0], atol=1e-4)
        .logical_or(torch.isclose(kept, both[1], atol=1e-4))
        .all()
    )
    share = torch.isclose(kept, worse, atol=1e-4).float().mean().item()
    assert share > 0.7  # an image is never flipped, or always, in a quarter of three draws
    assert kept.mean() > both[0].mean()


def recipe(**adversary: object) -> Train:
    more = {"adversary": adversary} if adversary else {}
    plain = {"steps": 6, "batch_size": 8, "optimizer": {"name": "sgd", "lr": 0.1}, **more}
    return structure_block(Train, plain)


def trained(train: Train, **more: object) -> tuple[nn.Module, Fitted]:
    model = linear(norm=True)
    fitted = fit(model, pool(), train, generator=lambda p: generator("s", p), **more)  # type: ignore[arg-type]
    return model, fitted


def test_each_step_of_adversarial_training_is_taken_on_the_adversary_of_its_batch() -> None:
    train, watch = recipe(name="pgd", eps=8, steps=2), Unwatched()
    model, fitted = trained(train, watch=watch)
    by_hand, losses = linear(norm=True), []
    by_hand.train()
    optimizer = optimizer_of(by_hand, train)
    assert train.adversary is not None
    search, batches = Adversary(train.adversary, ENCODING, generator("s", "adversary")), 0
    draws = generator("s", "batches")
    while batches < 6:
        for batch in pool().epoch(8, draws):
            hard = search(by_hand, batch, batches)
            loss = F.cross_entropy(by_hand(hard.x), hard.y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            batches += 1
    for ours, theirs in zip(model.parameters(), by_hand.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)
    assert fitted.losses[-1] == pytest.approx(losses[-1], abs=1e-5)
    assert watch.meter.as_dict() == {"forward": 6 * 8 * 3, "backward": 6 * 8 * 3, "steps": 6}
    assert fitted.losses[0] > trained(recipe())[1].losses[0]


class Cut(Unwatched):
    def step(self, done: int, total: int, loss: float | None) -> None:
        if done == 4:
            raise Interrupted


class Kept:
    saved: tuple[dict[str, torch.Tensor], dict[str, object]] | None = None

    def load(self) -> object:
        return self.saved

    def save(self, tensors: dict[str, torch.Tensor], state: dict[str, object]) -> None:
        self.saved = tensors, state

    def due(self) -> bool:
        return False


@pytest.mark.parametrize("name", ["pgd", "worst_draw"])
def test_an_interrupted_training_against_an_adversary_goes_on_exactly(name: str) -> None:
    augment = {"augment": ["horizontal_flip"]} if name == "worst_draw" else {"steps": 2}
    train, slot = recipe(name=name, **augment), Kept()
    with pytest.raises(Interrupted):
        trained(train, watch=Cut(), slot=slot)
    model, _ = trained(train, slot=slot)
    expected, _ = trained(train)
    found, wanted = model.state_dict(), expected.state_dict()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_both_adversaries_say_what_they_cost() -> None:
    for name, work in (("pgd", (10, 10)), ("worst_draw", (5, 0))):
        use = structure_use("adversaries", name)
        assert get("adversaries", name).traits.work(use.settings) == work
