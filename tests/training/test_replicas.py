"""Models that differ in their seed, trained in one pass, against the same trained one by one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import nn
from torch.nn import functional as F

from harness.components import NoSettings, get
from harness.data.pool import Pool
from harness.data.types import DataRoot
from harness.errors import Diverged, HarnessError, Interrupted, OverBudget
from harness.spec.blocks import Train
from harness.spec.structure import structure_block, structure_use
from harness.training.loop import fit
from harness.training.replicas import Seat, take_turns
from harness.training.run import Fitted
from harness.training.seeding import generator, seeded_build
from harness.training.watch import Unwatched

DIGITS = get("datasets", "digits").function(NoSettings(), DataRoot(None, offline=True))
CLOSE = 1e-4  # of any weight, after 20 steps
Weights = dict[str, torch.Tensor]


class Residual(nn.Module):
    """A forward that is no sequence of layers."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.body, self.dropout = nn.Conv2d(4, 4, 3, padding=1), dropout
        self.last = nn.Linear(4 * 16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.stem(x)))
        x = F.max_pool2d(torch.cat([x, x + self.body(x)], 1)[:, 2:6], 2)
        x = torch.flatten(x, 1)
        return self.last(F.dropout(x, self.dropout) if self.dropout else x)


def component(name: str, **settings: object) -> nn.Module:
    use = structure_use("models", {"name": name, **settings})
    model: nn.Module = get("models", name).function(use.settings, DIGITS.encoding, 10)
    return model


MODELS: dict[str, Callable[[], nn.Module]] = {
    "small_cnn": lambda: component("small_cnn", widths=[4, 8]),
    "mlp": lambda: component("mlp", hidden=[16]),
    "residual": Residual,
}


def recipe(**changes: object) -> Train:
    plain = {"steps": 20, "batch_size": 32, "optimizer": {"name": "sgd", "lr": 0.05}}
    return structure_block(Train, {**plain, **changes})


RECIPES = {
    "sgd": recipe(
        optimizer={"name": "sgd", "lr": 0.05, "weight_decay": 0.01}, schedule="cosine",
        decay_norm_and_bias=False,
    ),
    "adamw": recipe(
        optimizer={"name": "adamw", "lr": 0.01, "weight_decay": 0.1}, label_smoothing=0.1,
        class_weights="balanced", schedule={"name": "one_cycle"},
    ),
    "passes of unequal batches": recipe(
        batch_size=70, optimizer={"name": "adam", "lr": 0.01, "weight_decay": 0.1}
    ),
}  # fmt: skip


def pool(number: int, count: int = 150) -> Pool:
    """Every replica has samples of its own."""
    crop = structure_use("augmentations", {"name": "random_crop", "padding": 1})
    rows = torch.arange(40 * number, 40 * number + count)
    return Pool(DIGITS.train, rows, encoding=DIGITS.encoding, augment=[crop])


def models(make: Callable[[], nn.Module] = MODELS["small_cnn"], count: int = 3) -> list[nn.Module]:
    return [seeded_build(make, f"seed {number}") for number in range(count)]


def one(
    net: nn.Module, number: int, train: Train, seat: Seat | None = None, count: int = 150, **more: Any
) -> tuple[Fitted, Unwatched]:  # fmt: skip
    watch = more.pop("watch", None) or Unwatched()
    watch.meeting = seat
    draws = more.pop("draws", f"seed {number}")
    found = fit(net, pool(number, count), train, generator=lambda p: generator(draws, p),
                watch=watch, **more)  # fmt: skip
    return found, watch


def together(nets: Sequence[nn.Module], train: Train, **more: Any) -> tuple[list[Any], list[int]]:
    """What each gives, or raises; and how many were trained in one pass, by replica."""
    seats: dict[int, Seat] = {}

    def work(number: int, seat: Seat) -> Any:
        seats[number] = seat
        own = {name: values[number] for name, values in more.items()}
        try:
            return one(nets[number], number, train, seat, **own)
        except HarnessError as error:
            return error

    found = take_turns([lambda seat, n=n: work(n, seat) for n in range(len(nets))])
    return found, [seats[number].replicas for number in range(len(nets))]


def apart(a: nn.Module, b: nn.Module) -> float:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return max(float((x.double() - y.double()).abs().max()) for x, y in pairs)


CASES = [("small_cnn", name) for name in RECIPES] + [("mlp", "sgd"), ("residual", "adamw")]


@pytest.mark.parametrize(("model", "name"), CASES)
def test_each_replica_becomes_what_it_becomes_alone(model: str, name: str) -> None:
    make, train = MODELS[model], RECIPES[name]
    alone, beside = models(make), models(make)
    singly = [one(net, number, train) for number, net in enumerate(alone)]
    found, counts = together(beside, train)
    assert counts == [3, 3, 3]
    for (fitted, watch), (other, seen), a, b in zip(singly, found, alone, beside, strict=True):
        assert apart(a, b) < CLOSE
        assert not b.training
        assert (fitted.steps, fitted.best_step) == (other.steps, other.best_step)
        assert fitted.losses == pytest.approx(other.losses, abs=CLOSE)
        assert watch.meter == seen.meter
    assert apart(beside[0], beside[1]) > 100 * CLOSE


def test_snapshots_are_those_of_training_alone() -> None:
    alone, beside = models(), models()
    train, wanted = recipe(), [(0, 7, 20)] * 3
    singly = [one(net, n, train, snapshots=(0, 7, 20)) for n, net in enumerate(alone)]
    found, _ = together(beside, train, snapshots=wanted)
    for (fitted, _), (other, _) in zip(singly, found, strict=True):
        assert list(other.snapshots) == [0, 7, 20]
        for step, values in fitted.snapshots.items():
            for name, value in values.items():
                assert (value - other.snapshots[step][name]).abs().max() < CLOSE


def test_a_model_that_draws_is_trained_alone_to_the_same_bits() -> None:
    alone, beside = models(lambda: Residual(0.5)), models(lambda: Residual(0.5))
    for number, net in enumerate(alone):
        one(net, number, recipe())
    with pytest.warns(UserWarning, match="3 models are trained one by one: vmap"):
        assert together(beside, recipe())[1] == [1, 1, 1]
    assert [apart(a, b) for a, b in zip(alone, beside, strict=True)] == [0, 0, 0]


@pytest.mark.parametrize(
    "changes", [{"clip_norm": 1.0}, {"ema": 0.9}, {"precision": "fp16"}], ids=str
)
def test_a_recipe_whose_steps_mix_the_models_is_not_grouped(changes: dict[str, object]) -> None:
    assert together(models(count=2), recipe(steps=2, **changes))[1] == [1, 1]


def test_a_model_that_looks_up_what_it_has_learned_of_its_inputs_is_not_grouped() -> None:
    class Seeing(nn.Linear):
        def see_inputs(self, *given: Any) -> None: ...

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x.flatten(1))

    size = DIGITS.train.inputs[0].numel()
    assert together(models(lambda: Seeing(size, 10), 2), recipe(steps=2))[1] == [1, 1]


def test_a_loss_of_a_method_s_own_is_not_grouped() -> None:
    def loss(logits: torch.Tensor, batch: Any) -> torch.Tensor:
        return F.cross_entropy(logits, batch.y)

    assert together(models(count=2), recipe(steps=2), loss=[loss, loss])[1] == [1, 1]


def test_only_sets_of_one_size_are_grouped() -> None:
    alone, beside, sizes = models(count=4), models(count=4), [150, 149, 150, 60]
    for number, net in enumerate(alone):
        one(net, number, recipe(), count=sizes[number])
    assert together(beside, recipe(), count=sizes)[1] == [2, 1, 2, 1]
    assert [apart(a, b) < CLOSE for a, b in zip(alone, beside, strict=True)] == [True] * 4
    assert apart(alone[1], beside[1]) == apart(alone[3], beside[3]) == 0


def test_one_that_diverges_fails_alone_and_as_it_does_alone() -> None:
    alone, beside = models(), models()
    for nets in (alone, beside):
        with torch.no_grad():
            next(nets[1].parameters()).fill_(float("nan"))
    with pytest.raises(Diverged) as lost:
        one(alone[1], 1, recipe())
    for number in (0, 2):
        one(alone[number], number, recipe())
    found, counts = together(beside, recipe())
    assert isinstance(found[1], Diverged) and str(found[1]) == str(lost.value)
    assert counts == [3, 1, 3]
    assert max(apart(alone[n], beside[n]) for n in (0, 2)) < CLOSE


class Limit(Unwatched):
    """Raises ``problem`` after ``done`` steps."""

    def __init__(self, done: int | None, problem: type[HarnessError]) -> None:
        super().__init__()
        self.done, self.problem = done, problem

    def step(self, done: int, total: int, loss: float | None) -> None:
        if done == self.done:
            raise self.problem("stopped")


def test_one_that_costs_too_much_stops_alone() -> None:
    alone, beside = models(), models()
    for number, net in enumerate(alone):
        one(net, number, recipe())
    watches = [Limit(None, OverBudget), Limit(5, OverBudget), Limit(None, OverBudget)]
    found, _ = together(beside, recipe(), watch=watches)
    assert isinstance(found[1], OverBudget)
    assert max(apart(alone[n], beside[n]) for n in (0, 2)) < CLOSE


class Slot:
    """Keeps a state as a store would."""

    def __init__(self, full: bool = False) -> None:
        self.kept: tuple[bytes, str] | None = None
        self.full = full

    def load(self) -> tuple[Weights, dict[str, Any]] | None:
        return None if self.kept is None else (load(self.kept[0]), json.loads(self.kept[1]))

    def save(self, tensors: Weights, state: dict[str, Any]) -> None:
        if self.full:
            raise HarnessError("there is no room")
        self.kept = (save(tensors), json.dumps(state))

    def due(self) -> bool:
        return self.full


@pytest.mark.parametrize("done", [4, 5, 19])  # a pass has five batches
def test_an_interrupted_group_goes_on_together_or_alone(done: int) -> None:
    train = RECIPES["adamw"]
    whole, again, alone = models(), models(), models()
    plain, _ = together(whole, train)
    slots = [Slot() for _ in whole]
    # Every replica is told, but the flag is seen by the second only.
    watches = [Limit(None, Interrupted), Limit(done, Interrupted), Limit(None, Interrupted)]
    found, _ = together(models(), train, watch=watches, slot=slots)
    assert all(isinstance(stopped, Interrupted) for stopped in found)
    found, counts = together(again, train, slot=slots)
    assert counts == [3, 3, 3]
    for (fitted, watch), (other, seen) in zip(plain, found, strict=True):
        assert fitted == other
        assert watch.meter == seen.meter
    assert [apart(a, b) for a, b in zip(whole, again, strict=True)] == [0, 0, 0]
    for number, net in enumerate(alone):
        fitted, watch = one(net, number, train, slot=slots[number])
        assert watch.meter == plain[number][1].meter
        assert apart(net, whole[number]) < CLOSE


def test_states_of_different_steps_are_not_grouped() -> None:
    whole, nets, slots = models(), models(), [Slot() for _ in range(3)]
    for number, net in enumerate(whole):
        one(net, number, recipe())
    with pytest.raises(Interrupted):
        one(models()[1], 1, recipe(), watch=Limit(7, Interrupted), slot=slots[1])
    assert together(nets, recipe(), slot=slots)[1] == [2, 1, 2]
    assert apart(whole[1], nets[1]) == 0
    assert max(apart(a, b) for a, b in zip(whole, nets, strict=True)) < CLOSE


def test_what_stops_a_group_reaches_every_stage() -> None:
    found, _ = together(models(), recipe(), slot=[Slot(), Slot(full=True), Slot()])
    assert [str(error) for error in found] == ["there is no room"] * 3


def test_others_go_on_when_one_ends_or_raises_before_it_trains() -> None:
    alone, beside = models(), models()

    def work(number: int, seat: Seat) -> int:
        if number == 2:
            raise ZeroDivisionError
        for train in (recipe(), recipe(steps=3 + number)):  # the second is nobody else's
            one(beside[number], number, train, seat)
        return seat.replicas

    with pytest.raises(ZeroDivisionError):
        take_turns([lambda seat, n=n: work(n, seat) for n in range(3)])
    for number in range(2):
        for train in (recipe(), recipe(steps=3 + number)):
            one(alone[number], number, train)
        assert apart(alone[number], beside[number]) < CLOSE


def test_the_time_of_a_group_is_shared_out() -> None:
    def work(number: int, seat: Seat) -> float:
        begun = time.monotonic()
        one(models()[number], number, recipe(steps=5), seat)
        return time.monotonic() - begun - seat.away

    begun = time.monotonic()
    own = take_turns([lambda seat, n=n: work(n, seat) for n in range(3)])
    assert min(own) > 0
    assert sum(own) <= time.monotonic() - begun


def test_global_draws_are_as_before() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    together(models(), recipe(steps=2))
    assert torch.equal(before, torch.get_rng_state())
