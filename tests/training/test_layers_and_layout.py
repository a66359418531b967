"""Layers that draw numbers, and weights that lie channels-last: still the same bits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import harness
from conftest import Cli
from harness.components import NoSettings, get
from harness.data.pool import Pool
from harness.data.types import DataRoot
from harness.errors import Interrupted
from harness.spec.blocks import Train
from harness.spec.structure import structure_block
from harness.store.slots import Slot
from harness.training.loop import fit
from harness.training.seeding import generator, seeded_build
from harness.training.watch import Unwatched

DIGITS = get("datasets", "digits").function(NoSettings(), DataRoot(None, offline=True))
STEPS = 12  # 30 samples in batches of 8: steps 4, 8 and 12 end an epoch


class Stop(Unwatched):
    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def step(self, done: int, total: int, loss: float | None) -> None:
        if done == self.after:
            raise Interrupted("stopped")


def network() -> nn.Module:
    """Two convolutions with dropout between; channels-last, as every model on CUDA."""

    def build() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5),
            nn.Conv2d(4, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 10),
        )  # fmt: skip

    return seeded_build(build, "network").to(memory_format=torch.channels_last)


def pool() -> Pool:
    rows = torch.arange(30)
    return Pool(DIGITS.train, rows, encoding=DIGITS.encoding, channels_last=True)


def recipe(**changes: object) -> Train:
    plain = {"steps": STEPS, "batch_size": 8, "optimizer": {"name": "sgd", "lr": 0.05}}
    return structure_block(Train, {**plain, **changes})


RECIPES = {
    "sgd": recipe(),
    "adamw": recipe(optimizer={"name": "adamw", "lr": 0.01}),
    "average": recipe(ema=0.8),
}


def draws(purpose: str) -> torch.Generator:
    return generator("stage", purpose)


def trained(train: Train, slot: Slot | None = None, watch: Unwatched | None = None) -> nn.Module:
    net = network()
    fit(net, pool(), train, generator=draws, slot=slot, watch=watch)
    return net


def assert_same(found: nn.Module, expected: nn.Module) -> None:
    for name, value in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name


def test_dropout_does_not_depend_on_what_ran_before_and_leaves_no_trace() -> None:
    torch.manual_seed(1)
    first = trained(recipe())
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert_same(trained(recipe()), first)
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_is_put_back_after_a_training_that_was_cut_off() -> None:
    before = torch.get_rng_state()
    with pytest.raises(Interrupted):
        trained(recipe(), watch=Stop(3))
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_draws_what_a_plain_loop_with_the_same_seed_draws() -> None:
    net = network().train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    batches = pool().forever(8, draws("batches"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(draws("layers").initial_seed())
        for _, batch in zip(range(STEPS), batches, strict=False):
            loss = F.cross_entropy(net(batch.x), batch.y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert_same(trained(recipe()), net)


@pytest.mark.parametrize("after", [1, 4, 6, 8, STEPS])
@pytest.mark.parametrize("name", RECIPES)
def test_a_stored_state_goes_on_with_the_same_bits(name: str, after: int, tmp_path: Path) -> None:
    slot = Slot(tmp_path / "slot", every_seconds=1e9)
    with pytest.raises(Interrupted):
        trained(RECIPES[name], slot, Stop(after))
    torch.manual_seed(after)
    assert_same(trained(RECIPES[name], slot), trained(RECIPES[name]))


def test_a_restored_optimiser_lies_in_memory_as_its_weights(tmp_path: Path) -> None:
    from harness.training.optimizer_state import optimizer_tensors, restore_optimizer

    net = network().train()
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.randn(2, 1, 8, 8)).sum().backward()
    optimizer.step()
    stored = {name: value.contiguous() for name, value in optimizer_tensors(optimizer).items()}
    fresh = torch.optim.AdamW(net.parameters())
    restore_optimizer(fresh, stored)
    for weight, slots in fresh.state.items():
        assert float(slots["step"]) == 1
        for slot in ("exp_avg", "exp_avg_sq"):
            assert torch.equal(slots[slot], optimizer.state[weight][slot])
            assert slots[slot].stride() == weight.stride()


def test_a_layout_for_the_cpu_is_that_of_all_models_and_keeps_draws_and_other_keys(
    cli: Cli, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.stages import evaluate, train

    laid: list[tuple[str, bool]] = []

    def spied(name: str, function: Callable[..., Any], at: int) -> Callable[..., Any]:
        def spy(*args: Any, **kwargs: Any) -> Any:
            found = function(*args, **kwargs)
            model = found if at < 0 else args[at]
            conv = next(
                m for m in model.modules() if isinstance(m, nn.Conv2d) and m.in_channels > 1
            )
            laid.append((name, conv.weight.is_contiguous(memory_format=torch.channels_last)))
            return found

        return spy

    monkeypatch.setattr(train, "fit", spied("train", train.fit, 0))
    load = evaluate.World.load_model
    monkeypatch.setattr(evaluate.World, "load_model", spied("load", load, -1))
    rows = {}
    for layout in ("contiguous", "channels_last"):
        args = ("--jobs", 1, "--set", f"train.memory_format={layout}", "--only", "method=none")
        done = cli("run", tiny, *args, "--out", layout)
        assert done.returncode == 0, done.stderr
        rows[layout] = json.loads((tmp_path / layout / "results.json").read_text())["rows"]
    assert {last for _, last in laid[: len(laid) // 2]} == {False}
    assert {last for _, last in laid[len(laid) // 2 :]} == {True}
    first, second = (
        harness.load(tiny, sets=[f"train.memory_format={layout}"]).plan() for layout in rows
    )
    bases = [next(s for s in plan.stages.values() if s.kind == "train") for plan in (first, second)]
    assert bases[0].key != bases[1].key and bases[0].draws == bases[1].draws
    accuracy = [found[0]["metrics"]["clean_accuracy"] for found in rows.values()]
    assert accuracy[0] == pytest.approx(accuracy[1], abs=0.03)
