"""``targeted_reinit`` against versions that are written out."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from methods.convolutional import FROZEN, Stopper, build, layers_of, same, state, task_of
from methods.problem import everything, pool, run
from torch import nn
from torch.nn import functional as F

from harness.components import get
from harness.errors import HarnessError, Interrupted
from harness.methods.layers import smallest
from harness.plan.cost import Sizes
from harness.spec.structure import structure_use
from harness.store.slots import Slot

ONE_BATCH = {"batch_size": 100, "weight_decay": 0}
METHOD = "targeted_reinit"


def gradients_by_hand(base: nn.Module) -> dict[str, torch.Tensor]:
    """Down on 24 retained samples, up on the 24 to forget, each as one batch in train mode."""
    base.train()
    for sign, first in ((1, 24), (-1, 0)):
        x, y = everything(pool(torch.arange(first, first + 24)))
        (sign * F.cross_entropy(base(x), y)).backward()
    return {name: p.grad for name, p in base.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("rank", ["layer", "global"])
def test_exactly_the_weights_of_smallest_gradient_begin_anew(rank: str) -> None:
    found = state(run(METHOD, task_of(retain=24), build("base"), lr=FROZEN, rank=rank, **ONE_BATCH))
    base, pulls = state(build("base")), gradients_by_hand(build("base"))
    places = [
        (pulls[name].flatten()[i].abs().item(), name, i)
        for name in layers_of(build("base"))
        for i in range(pulls[name].numel())
    ]
    groups = [places]
    if rank == "layer":
        groups = [[p for p in places if p[1] == name] for name in layers_of(build("base"))]
    expected = {p[1:] for group in groups for p in sorted(group)[: round(0.3 * len(group))]}
    changed = {
        (name, i)
        for name in base
        for i in (found[name] != base[name]).flatten().nonzero().flatten().tolist()
    }
    assert changed == expected
    assert len(places) == 9 * (4 + 24)


def test_new_weights_are_kaiming_normal_by_fan_out() -> None:
    wide = (8, 64)
    found = state(run(METHOD, task_of(wide, retain=24), build("base", wide), lr=FROZEN))
    base = state(build("base", wide))
    for name in layers_of(build("base", wide)):
        new = found[name][found[name] != base[name]]
        assert len(new) == round(0.3 * base[name].numel())
    # The last layer: 64 outputs of 3x3, 1382 new values.
    assert new.std().item() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.06)
    assert abs(new.mean().item()) < 0.006


def test_the_gradient_of_kept_weights_is_a_tenth_and_their_decay_is_whole() -> None:
    anew = run(METHOD, task_of(retain=24), build("base"), epochs=1, lr=FROZEN, **ONE_BATCH)
    base = state(build("base"))
    anew.zero_grad()
    x, y = everything(pool(torch.arange(24, 48)))
    F.cross_entropy(anew.train()(x), y).backward()
    for where, weight in anew.named_parameters():
        pull = weight.grad
        if where in layers_of(anew):
            pull = torch.where(weight == base[where], 0.1 * pull, pull)
        weight.data -= 0.5 * (pull + 0.3 * weight.data)
    settings = {"batch_size": 100, "weight_decay": 0.3, "lr": 0.5, "epochs": 1}
    found = run(METHOD, task_of(retain=24), build("base"), **settings)
    for a, b in zip(found.parameters(), anew.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    # A later training of the model is not scaled.
    assert all(not p._backward_hooks for p in found.parameters())


def test_the_rate_rises_to_the_middle_epoch_and_falls() -> None:
    factor = get("schedules", "triangle").function
    five = [factor(None, step, 20, 4) for step in range(20)]
    assert five == pytest.approx([n / 3 for n in (1, 2, 3, 2, 1) for _ in range(4)])
    assert [factor(None, step, 4, 1) for step in range(4)] == [1 / 2, 1, 2 / 3, 1 / 3]
    task = task_of()
    run(METHOD, task, build("base"))
    [fitted] = task.fitted
    assert fitted.steps == 5 * 2  # 72 samples in batches of 64


def test_as_many_random_retain_samples_are_looked_at_as_there_are_to_forget() -> None:
    task = task_of()
    settings = structure_use("methods", METHOD).settings
    model = run(METHOD, task, build("base"))
    meter = task.watch.meter
    assert meter.forward_samples == meter.backward_samples == 24 + 24 + 5 * 72
    sizes = Sizes(96, 72, 24, 0, 0, 0, base_steps=6, batch_size=16)
    assert get("methods", METHOD).traits.work(settings, sizes) == (408, 408)
    # BatchNorm follows both passes and the training.
    [norm, _] = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert int(norm.num_batches_tracked) == 2 + 10
    other = task_of()
    other.seed = "another"
    with pytest.raises(AssertionError):
        same(run(METHOD, other, build("base")), model)


def test_ties_are_cut_exactly() -> None:
    masks = smallest([torch.zeros(2, 3), torch.tensor([1.0, 0.0])], 7)
    assert [mask.tolist() for mask in masks] == [[[True] * 3] * 2, [False, True]]
    assert sum(int(m.sum()) for m in smallest([torch.zeros(5), torch.zeros(4)], 4)) == 4


@pytest.mark.parametrize("name", [METHOD, "prune_reinit_entropy", "kernel_transpose", "mixture"])
def test_a_method_that_was_cut_off_ends_with_the_same_bytes(name: str, tmp_path: Path) -> None:
    settings = {"lr": 0.05, **({"transpose_share": 0} if name == "mixture" else {})}
    whole = run(name, task_of(), build("base"), **settings)
    slot = Slot(tmp_path / "slot", every_seconds=1e9)
    with pytest.raises(Interrupted):
        run(name, task_of(slot=slot, watch=Stopper(3)), build("base"), **settings)
    found = run(name, task_of(slot=slot), build("base"), **settings)
    for a, b in zip(found.state_dict().values(), whole.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", [METHOD, "conv_noise", "kernel_transpose"])
def test_a_model_without_convolutions_is_refused(name: str) -> None:
    task = task_of()
    with pytest.raises(HarnessError, match="the model has none"):
        run(name, task, nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
