"""A training that stops and goes on, at every step and as often as it likes: the same bits."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from harness.components import NoSettings, get
from harness.data.pool import Pool
from harness.data.types import DataRoot
from harness.errors import Interrupted
from harness.spec.blocks import Train
from harness.spec.structure import structure_block, structure_use
from harness.training.loop import fit
from harness.training.run import Fitted
from harness.training.seeding import generator, seeded_build
from harness.training.watch import Meter, Unwatched

DIGITS = get("datasets", "digits").function(NoSettings(), DataRoot(None, offline=True))
EPOCH, STEPS = 4, 12  # 30 samples in batches of 8: steps 4, 8 and 12 end an epoch


class Slot:
    """Keeps a state as a store would: as safetensors and JSON bytes."""

    def __init__(self, every: int = 0) -> None:
        self.every, self.asked = every, 0
        self.kept: tuple[bytes, str] | None = None

    def load(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        return None if self.kept is None else (load(self.kept[0]), json.loads(self.kept[1]))

    def save(self, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        self.kept = (save(tensors), json.dumps(state))

    def due(self) -> bool:
        self.asked += 1
        return bool(self.every) and self.asked % self.every == 0


class Stop(Unwatched):
    """Raises ``problem`` once ``done`` steps are taken."""

    def __init__(self, done: int | None, problem: type[BaseException] = Interrupted) -> None:
        super().__init__()
        self.done, self.problem = done, problem

    def step(self, done: int, total: int, loss: float | None) -> None:
        if done == self.done:
            raise self.problem("stopped")


def recipe(**changes: object) -> Train:
    plain = {"steps": STEPS, "batch_size": 8, "optimizer": {"name": "sgd", "lr": 0.05}}
    return structure_block(Train, {**plain, **changes})


RECIPES = {
    "momentum": recipe(optimizer={"name": "sgd", "lr": 0.05, "nesterov": True}),
    "no momentum": recipe(optimizer={"name": "sgd", "lr": 0.05, "momentum": 0.0}),
    "adamw": recipe(optimizer={"name": "adamw", "lr": 0.01, "weight_decay": 0.1}),
    "average": recipe(ema=0.8, schedule={"name": "one_cycle"}),
    "best": recipe(checkpoint="best_validation", evaluate_every=3),
    "best average": recipe(checkpoint="best_test", ema=0.6, schedule={"name": "cosine"}),
    "spared": recipe(
        optimizer={"name": "adam", "lr": 0.01, "weight_decay": 0.1}, decay_norm_and_bias=False,
        class_weights="balanced",
    ),
}  # fmt: skip


def network() -> nn.Module:
    use = structure_use("models", {"name": "small_cnn", "widths": [3, 4]})
    build = get("models", "small_cnn").function
    return seeded_build(lambda: build(use.settings, DIGITS.encoding, 10), "network")


def pool() -> Pool:
    written = (
        {"name": "random_crop", "padding": 1},
        "horizontal_flip",
        {"name": "cutout", "size": 2},
    )
    uses = [structure_use("augmentations", item) for item in written]
    return Pool(DIGITS.train, torch.arange(30), encoding=DIGITS.encoding, augment=uses)


def evaluate(net: nn.Module) -> float:
    """Rises and falls, so that the best is found in the middle."""
    with torch.no_grad():
        return float(torch.sin(1e3 * next(net.parameters()).sum()))


def go(train: Train, watch: Unwatched, slot: Slot | None = None) -> tuple[nn.Module, Fitted, Meter]:
    net = network()
    found = fit(
        net, pool(), train, evaluate=evaluate, watch=watch, slot=slot,
        generator=lambda purpose: generator("stage", purpose),
    )  # fmt: skip
    return net, found, watch.meter


@pytest.fixture(scope="module")
def whole() -> dict[str, tuple[nn.Module, Fitted, Meter]]:
    return {name: go(train, Unwatched()) for name, train in RECIPES.items()}


def assert_same(found: tuple[nn.Module, Fitted, Meter], whole: tuple) -> None:
    for key, value in whole[0].state_dict().items():
        assert torch.equal(found[0].state_dict()[key], value), key
    assert found[1:] == whole[1:]


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("done", [1, 3, EPOCH, EPOCH + 1, 2 * EPOCH - 1, 2 * EPOCH, 11, STEPS])
def test_one_stop_changes_no_bit(name: str, done: int, whole: dict) -> None:
    slot = Slot()
    with pytest.raises(Interrupted):
        go(RECIPES[name], Stop(done), slot)
    assert_same(go(RECIPES[name], Unwatched(), slot), whole[name])


@pytest.mark.parametrize("name", RECIPES)
def test_a_stop_after_every_step_changes_no_bit(name: str, whole: dict) -> None:
    slot = Slot()
    for done in range(1, STEPS + 1):
        with pytest.raises(Interrupted):
            go(RECIPES[name], Stop(done), slot)
    assert_same(go(RECIPES[name], Unwatched(), slot), whole[name])


@pytest.mark.parametrize("every", [1, 3, EPOCH])
@pytest.mark.parametrize("done", [2, 5, EPOCH, EPOCH + 3, 10])
def test_a_crash_goes_on_from_the_last_state_that_was_due(
    every: int, done: int, whole: dict
) -> None:
    slot = Slot(every)
    with pytest.raises(RuntimeError):
        go(RECIPES["best average"], Stop(done, RuntimeError), slot)
    taken = [] if slot.kept is None else [json.loads(slot.kept[1])["step"]]
    assert taken == ([done - done % every] if done >= every else [])
    assert_same(go(RECIPES["best average"], Unwatched(), slot), whole["best average"])


def test_saving_now_and_then_does_not_disturb_a_training(whole: dict) -> None:
    assert_same(go(RECIPES["best average"], Unwatched(), Slot(2)), whole["best average"])


def test_the_state_is_a_copy_that_training_does_not_change() -> None:
    class Kept(Slot):
        def save(self, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
            super().save(tensors, state)
            self.first = getattr(self, "first", (tensors, state, save(tensors), json.dumps(state)))

    slot = Kept(1)
    go(RECIPES["best average"], Unwatched(), slot)
    tensors, state, content, text = slot.first
    assert save(tensors) == content
    assert json.dumps(state) == text


def test_the_best_is_not_forgotten_when_it_was_found_before_the_stop(whole: dict) -> None:
    best = whole["best"][1].best_step
    assert best is not None
    assert best < STEPS  # else this test shows nothing
    slot = Slot()
    with pytest.raises(Interrupted):
        go(RECIPES["best"], Stop(best + 1), slot)
    found = go(RECIPES["best"], Unwatched(), slot)
    assert found[1].best_step == best
    assert_same(found, whole["best"])
