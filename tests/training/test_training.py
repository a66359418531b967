"""The training loop against a hand-written one, and against itself when it is cut off."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.optim import lr_scheduler

from harness.components import NoSettings, get
from harness.data.pool import Pool
from harness.data.types import DataRoot
from harness.errors import HarnessError, Interrupted
from harness.spec.blocks import Train
from harness.spec.structure import structure_block, structure_use
from harness.training.length import Length, length_of
from harness.training.loop import fit
from harness.training.losses import balanced_weights
from harness.training.parameters import optimizer_of
from harness.training.run import Fitted
from harness.training.seeding import generator, seeded_build
from harness.training.threads import threads_for
from harness.training.watch import Unwatched

DIGITS = get("datasets", "digits").function(NoSettings(), DataRoot(None, offline=True))


def recipe(**changes: object) -> Train:
    plain = {"steps": 14, "batch_size": 16, "optimizer": {"name": "sgd", "lr": 0.05}, **changes}
    if "epochs" in changes:
        del plain["steps"]
    return structure_block(Train, plain)


def pool(count: int = 90, augment: bool = True) -> Pool:
    uses = (
        [structure_use("augmentations", {"name": "random_crop", "padding": 1})] if augment else []
    )
    return Pool(DIGITS.train, torch.arange(count), encoding=DIGITS.encoding, augment=uses)


def model() -> torch.nn.Module:
    use = structure_use("models", {"name": "small_cnn", "widths": [4, 8]})
    return seeded_build(
        lambda: get("models", "small_cnn").function(use.settings, DIGITS.encoding, 10), "m"
    )


def draws(purpose: str) -> torch.Generator:
    return generator("stage", purpose)


def state(net: torch.nn.Module) -> dict[str, torch.Tensor]:
    return net.state_dict()


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(state(a)[k], state(b)[k]) for k in state(a))


def test_the_loop_gives_the_bytes_of_a_plain_loop() -> None:
    found, plain = model(), model()
    fit(found, pool(), recipe(optimizer={"name": "sgd", "lr": 0.05, "weight_decay": 0.01},
                              schedule="cosine", label_smoothing=0.1), generator=draws)  # fmt: skip
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    schedule = lr_scheduler.CosineAnnealingLR(optimizer, 14)
    stream, step = draws("batches"), 0
    plain.train()
    while step < 14:
        for batch in pool().epoch(16, stream):
            loss = F.cross_entropy(plain(batch.x), batch.y, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            if step == 14:
                break
    for key, value in state(plain).items():
        torch.testing.assert_close(state(found)[key], value, rtol=1e-5, atol=1e-7)
    assert not found.training


class Stopper(Unwatched):
    """Asks to stop after some steps."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def step(self, done: int, total: int, loss: float | None) -> None:
        if done == self.after:
            raise Interrupted("stopped")


class Memory:
    """A slot that keeps the last state."""

    def __init__(self) -> None:
        self.saved: Any = None

    def load(self) -> Any:
        return copy.deepcopy(self.saved)

    def save(self, tensors: dict, state: dict) -> None:
        self.saved = copy.deepcopy((tensors, state))

    def due(self) -> bool:
        return False


def score(net: torch.nn.Module) -> float:
    with torch.no_grad():
        return -float(next(net.parameters()).abs().sum())


RECIPES = {
    "momentum": recipe(),
    "adamw and schedule": recipe(optimizer={"name": "adamw", "lr": 0.01}, schedule="one_cycle"),
    "average": recipe(ema=0.9),
    "best checkpoint": recipe(checkpoint="best_test", evaluate_every=3),
    "clipping and bf16": recipe(clip_norm=0.5, precision="bf16"),
    "fp16": recipe(precision="fp16"),
}


@pytest.mark.parametrize("after", [1, 5, 6, 7, 12])
@pytest.mark.parametrize("name", RECIPES)
def test_a_training_that_was_cut_off_ends_with_the_same_bytes(name: str, after: int) -> None:
    # 90 samples in batches of 16 are 6 steps an epoch: 6 and 12 are the ends of epochs.
    train, slot = RECIPES[name], Memory()
    whole, parts = model(), model()
    watched = Unwatched()
    expected = fit(whole, pool(), train, generator=draws, evaluate=score, watch=watched)
    with pytest.raises(Interrupted):
        fit(parts, pool(), train, generator=draws, evaluate=score, watch=Stopper(after), slot=slot)
    fresh, again = model(), Unwatched()
    found = fit(fresh, pool(), train, generator=draws, evaluate=score, watch=again, slot=slot)
    assert same(whole, fresh)
    assert found == expected
    assert again.meter == watched.meter


def test_the_average_of_the_weights_is_the_formula() -> None:
    shown, plain = model(), model()
    fit(shown, pool(), recipe(steps=2, ema=0.75), generator=draws)
    kept: list[torch.Tensor] = []

    class Keep(Unwatched):
        def step(self, done: int, total: int, loss: float | None) -> None:
            kept.append(next(plain.parameters()).detach().clone())

    fit(plain, pool(), recipe(steps=2), generator=draws, watch=Keep())
    # torch's average starts at the weights after the first step.
    torch.testing.assert_close(next(shown.parameters()), 0.75 * kept[0] + 0.25 * kept[1])


def test_the_best_evaluation_is_kept() -> None:
    scores = iter([0.1, 0.9, 0.2, 0.3, 0.4])
    train = recipe(checkpoint="best_test", evaluate_every=3)
    found = fit(model(), pool(), train, generator=draws, evaluate=lambda net: next(scores))
    assert found.best_step == 6


def test_weight_decay_can_spare_norms_and_biases() -> None:
    decayed = {"name": "sgd", "lr": 0.1, "weight_decay": 0.5}
    for spare in (True, False):
        groups = optimizer_of(
            model(), recipe(optimizer=decayed, decay_norm_and_bias=spare)
        ).param_groups
        small = [g for g in groups if all(p.ndim == 1 for p in g["params"])]
        assert [g["weight_decay"] for g in small] == [0.5 if spare else 0.0]
        assert sum(len(g["params"]) for g in groups) == len(list(model().parameters()))


def test_balanced_weights_give_each_class_the_same_say() -> None:
    found = balanced_weights(torch.tensor([0, 0, 0, 2]), 3)
    assert found.tolist() == pytest.approx([4 / 9, 0, 4 / 3])


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(HarnessError, match="learning rate"):
        fit(model(), pool(), recipe(optimizer={"name": "sgd", "lr": 1e30}), generator=draws)


def test_an_empty_pool_is_an_error() -> None:
    with pytest.raises(HarnessError, match="no sample"):
        fit(model(), pool(0), recipe(), generator=draws)


def test_building_a_model_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    assert same(model(), model())
    assert torch.equal(torch.get_rng_state(), before)


def test_streams_of_other_keys_and_purposes_differ() -> None:
    first = [
        float(torch.rand(1, generator=generator(*p)))
        for p in (("a", "b"), ("a", "b"), ("a", "c"), ("ab", ""))
    ]
    assert first[0] == first[1]
    assert len(set(first)) == 3


def test_steps_follow_from_epochs_with_the_last_batch_kept() -> None:
    assert length_of(recipe(epochs=2.5), 90) == Length(15, 15, 6)
    assert length_of(recipe(steps=7), 90) == Length(7, 7, 6)
    assert length_of(recipe(epochs=0.01), 90) == Length(1, 1, 6)


def test_no_extra_step_is_taken_where_the_last_one_ends_a_pass_as_in_the_published_loop() -> None:
    def published(steps: int, epoch: int) -> int:
        taken = 0
        while taken < steps:
            for _ in range(epoch):
                taken += 1
                if taken > steps:
                    break
        return taken

    for steps in range(1, 30):
        found = length_of(recipe(steps=steps, extra_step=True), 90)
        assert (found.planned, found.total) == (steps, published(steps, 6)), steps


def test_small_steps_take_one_thread() -> None:
    assert threads_for(1e6) == 1
    assert threads_for(1e12) >= 1


def factors(total: int, name: str, **settings: object) -> list[float]:
    use = structure_use("schedules", {"name": name, **settings})
    return [get("schedules", name).function(use.settings, s, total, 5) for s in range(total)]


def reference(total: int, make: Any) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule, rates = make(optimizer), []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


@given(st.integers(10, 60), st.sampled_from(["cosine", "linear"]))
def test_one_cycle_is_torchs(total: int, shape: str) -> None:
    def make(optimizer: torch.optim.Optimizer) -> Any:
        strategy = "cos" if shape == "cosine" else "linear"
        return lr_scheduler.OneCycleLR(
            optimizer, 1.0, total_steps=total + 1, anneal_strategy=strategy
        )

    found = factors(total + 1, "one_cycle", shape=shape)
    assert found[:total] == pytest.approx(reference(total, make), abs=1e-9)


def test_cosine_and_steps_are_torchs() -> None:
    cosine = reference(20, lambda o: lr_scheduler.CosineAnnealingLR(o, 20))
    assert factors(20, "cosine") == pytest.approx(cosine, abs=1e-9)
    steps = reference(20, lambda o: lr_scheduler.MultiStepLR(o, [10, 15]))
    assert factors(20, "step") == pytest.approx(steps, abs=1e-12)


def test_linear_is_the_published_schedule_as_worked_by_hand() -> None:
    found = factors(1000, "linear", warmup=0.01, stretch=1.25)
    assert found[:3] == pytest.approx([1 / 11, 2 / 11, 3 / 11])
    assert found[10] == 1.0
    assert found[999] == pytest.approx(1 - 989 / 1250)


def test_per_epoch_holds_the_factor_of_the_first_step() -> None:
    found = factors(10, "cosine", per="epoch")
    assert found == [found[0]] * 5 + [found[5]] * 5
    assert factors(10, "constant") == [1.0] * 10


def test_what_a_training_leaves_can_be_written_to_a_record() -> None:
    assert Fitted(3, None, (0.5,)).as_dict() == {"steps": 3, "best_step": None, "losses": (0.5,)}
