"""``conv_noise`` against versions that are written out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from methods.convolutional import (
    FROZEN,
    Stopper,
    build,
    by_hand,
    cosine,
    layers_of,
    same,
    state,
    task_of,
)
from methods.problem import run
from torch import nn

from harness.errors import Interrupted
from harness.store.slots import Slot
from harness.training.seeding import generator
from harness.training.watch import Unwatched

WIDE = (96, 8)


def moved(**settings: object) -> dict[str, torch.Tensor]:
    """What a training at a rate of nearly nothing adds to the weights."""
    given = {"lr": FROZEN, "weight_decay": 0, **settings}
    found = state(run("conv_noise", task_of(WIDE), build("base", WIDE), **given))
    base = state(build("base", WIDE))
    return {
        name: found[name] - base[name] for name in base if not torch.equal(found[name], base[name])
    }


@pytest.mark.parametrize(("layers", "reached"), [("first", 1), ("all", 2)])
def test_noise_of_its_size_is_on_these_convolutions_alone(layers: str, reached: int) -> None:
    names = list(layers_of(build("base", WIDE)))[:reached]
    for early, late, size in ((0.6, 0, 0.6), (0, 0.005, 0.005)):
        added = moved(layers=layers, noise=early, late_noise=late)
        assert list(added) == names
        for name in names:
            assert added[name].std().item() == pytest.approx(size, rel=0.1)
            assert abs(added[name].mean().item()) < 0.15 * size
    assert list(moved()) == names[:1]  # the default, as the published code


class _Seen(Unwatched):
    """Remembers the first convolution after each step."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.weights = model, []

    def step(self, done: int, total: int, loss: float | None) -> None:
        self.weights.append(self.model[0].weight.detach().clone())


@pytest.mark.parametrize(("epochs", "at"), [(4, [15]), (3, [10]), (1, [])])
def test_weak_noise_comes_once_before_the_last_epoch(epochs: int, at: list[int]) -> None:
    model = build("base")
    watch = _Seen(model)
    run("conv_noise", task_of(watch=watch), model, lr=FROZEN, epochs=epochs, batch_size=16)
    pairs = zip(watch.weights, watch.weights[1:], strict=False)
    assert [n for n, (a, b) in enumerate(pairs, 1) if not torch.equal(a, b)] == at


def weighted(kind: str):  # type: ignore[no-untyped-def]
    def loss(logits: torch.Tensor, labels: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        each = [-logits[i].log_softmax(0)[y] for i, y in enumerate(labels.tolist())]
        weights = [1.0 if y == 0 else 0.05 for y in labels.tolist()]
        if kind == "sample":
            return sum(w * e for w, e in zip(weights, each, strict=True)) / len(each)
        return sum(each) / len(each) * (sum(weights) / len(weights))

    return loss


@pytest.mark.parametrize("kind", ["batch", "sample"])
def test_the_training_is_sgd_as_written_out(kind: str) -> None:
    draws = generator("stage", "noise")
    base = build("base")
    base[0].weight.data += 0.6 * torch.randn(4, 1, 3, 3, generator=draws)

    def before_epoch(epoch: int, model: nn.Module) -> None:
        if epoch == 3:
            late = torch.randn(4, 1, 3, 3, generator=generator("stage", "late noise"))
            model[0].weight.data += 0.005 * late

    expected = by_hand(base, task_of().retain, cosine(0.07, 4), steps=20, loss=weighted(kind),
                       before_epoch=before_epoch)  # fmt: skip
    settings = {"lr": 0.07, "batch_size": 16}
    if kind == "sample":
        settings["weighting"] = kind
    same(run("conv_noise", task_of(), build("base"), **settings), expected, atol=1e-5)


@pytest.mark.parametrize("at", [14, 15, 16])
def test_weak_noise_is_added_once_also_by_an_interrupted_run(at: int, tmp_path: Path) -> None:
    settings = {"lr": 0.07, "batch_size": 16}
    whole = run("conv_noise", task_of(), build("base"), **settings)
    slot = Slot(tmp_path / "slot", every_seconds=1e9)
    with pytest.raises(Interrupted):
        run("conv_noise", task_of(slot=slot, watch=Stopper(at)), build("base"), **settings)
    again = run("conv_noise", task_of(slot=slot), build("base"), **settings)
    for a, b in zip(again.parameters(), whole.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not again._forward_pre_hooks
