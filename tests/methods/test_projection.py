"""Gradient projection against Gram-Schmidt by hand and a slow version of its pseudocode."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from methods.problem import make_task, run
from torch import nn
from torch.nn import functional as F

from harness.components import get
from harness.data.pool import Batch
from harness.methods.projection import orthogonal
from harness.methods.task import Task
from harness.plan.cost import Sizes
from harness.spec.structure import structure_use

NAME = "gradient_projection"
# 24 forget and 72 retain samples: two steps in a forget round, two in a retain round.
SMALL: dict[str, Any] = {
    "rounds": (2, 1), "forget_batch_size": 16, "retain_batch_size": 40, "protected_batch_size": 10
}  # fmt: skip


def normed(seed: int = 5) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.BatchNorm1d(6), nn.Linear(6, 10))


def state(model: nn.Module) -> torch.Tensor:
    return torch.cat([value.double().flatten() for value in model.state_dict().values()])


def test_what_is_left_is_at_right_angles_to_the_direction() -> None:
    assert orthogonal(torch.tensor([3.0, 4.0]), torch.tensor([2.0, 0.0])).tolist() == [0.0, 4.0]
    assert orthogonal(torch.tensor([2.0, 4.0]), torch.tensor([-1.0, -2.0])).tolist() == [0.0, 0.0]
    draws = torch.Generator().manual_seed(2)
    vector, direction = torch.randn(2, 50, generator=draws)
    left = orthogonal(vector, direction)
    assert float(left @ direction) == pytest.approx(0, abs=1e-5)
    # What was taken away lies along the direction.
    assert float(F.cosine_similarity(vector - left, direction, 0).abs()) == pytest.approx(1)


def test_without_a_direction_to_protect_the_whole_gradient_is_left() -> None:
    assert orthogonal(torch.tensor([3.0, 4.0]), torch.zeros(2)).tolist() == [3.0, 4.0]


def slow(model: nn.Module, task: Task, *, zeroed: bool) -> nn.Module:
    """The published loop with ``SMALL``: gradients are read from ``.grad``, zeroed or not."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.requires_grad_(False)
    driving, protected = task.generator("driving"), task.generator("protected")
    model.train()

    def read(batch: Batch) -> list[torch.Tensor]:
        if zeroed:
            model.zero_grad()
        F.cross_entropy(model(batch.x), batch.y).backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    def dot(left: list[torch.Tensor], right: list[torch.Tensor]) -> float:
        return sum(float((a * b).sum()) for a, b in zip(left, right, strict=True))

    for passes, size, own, other, sign in (
        (2, 16, task.forget, task.retain, 1), (1, 40, task.retain, task.forget, -1)
    ):  # fmt: skip
        average: list[Any] = [0.0] * 4
        for _ in range(passes):
            for batch in own.epoch(size, driving):
                held = read(next(other.epoch(10, protected)))
                pull = read(batch)
                share = dot(pull, held) / dot(held, held)
                across = [a - share * b for a, b in zip(pull, held, strict=True)]
                length = dot(across, across) ** 0.5
                average = [0.9 * m + 0.1 * a / length for m, a in zip(average, across, strict=True)]
                trained = [p for p in model.parameters() if p.requires_grad]
                with torch.no_grad():
                    for weight, move in zip(trained, average, strict=True):
                        weight += sign * 0.02 * move
    return model.eval()


@pytest.mark.parametrize("accumulated", [False, True])
def test_the_method_is_its_pseudocode(accumulated: bool) -> None:
    expected = slow(normed(), make_task(), zeroed=not accumulated)
    found = run(NAME, make_task(), normed(), **SMALL, accumulated_gradients=accumulated)
    torch.testing.assert_close(state(found), state(expected), rtol=1e-4, atol=1e-6)
    assert not found.training
    assert all(p.requires_grad for p in found.parameters())


def test_gradients_that_are_never_zeroed_give_other_weights() -> None:
    found = [state(run(NAME, make_task(), normed(), **SMALL, accumulated_gradients=kept))
             for kept in (False, True)]  # fmt: skip
    assert not torch.allclose(*found, rtol=1e-3)


def test_batch_norm_keeps_its_weights_and_moves_its_statistics() -> None:
    before, after = normed(), run(NAME, make_task(), normed(), **SMALL)
    assert torch.equal(after[2].weight, before[2].weight)
    assert torch.equal(after[2].bias, before[2].bias)
    assert not torch.allclose(after[2].running_mean, before[2].running_mean)
    assert not torch.equal(after[1].weight, before[1].weight)


def losses(model: nn.Module, task: Task) -> list[float]:
    found = []
    for part in (task.forget, task.retain):
        [batch] = part.ordered(1000)
        found.append(float(F.cross_entropy(model(batch.x), batch.y).detach()))
    return found


def test_the_forget_loss_rises_and_the_retain_loss_stays_to_first_order() -> None:
    # One step on the whole of both sets, without batch normalisation: the direction is exact.
    whole = {"rounds": (1,), "forget_batch_size": 24, "protected_batch_size": 72, "decay": 0.0}
    flat = nn.Sequential(*normed()[:2], nn.Linear(6, 10, bias=False))
    nn.init.orthogonal_(flat[2].weight, generator=torch.Generator().manual_seed(1))
    before = losses(flat, make_task())
    after = losses(run(NAME, make_task(), flat, **whole, forget_lr=1e-2), make_task())
    forget, retain = (b - a for a, b in zip(before, after, strict=True))
    assert forget > 1e-3
    assert abs(retain) < 0.05 * forget


def test_rounds_are_taken_in_turn_and_the_estimate_is_what_the_meter_counts() -> None:
    slide = {**SMALL, "rounds": (3, 1, 2, 1, 2, 1)}
    task = make_task()
    run(NAME, task, normed(), **slide)
    meter = task.watch.meter
    assert meter.steps == 7 * 2 + 3 * 2
    chosen = structure_use("methods", {"name": NAME, **slide}).settings
    sizes = Sizes(96, 72, 24, 0, 0, 0, base_steps=6, batch_size=16)
    counted = meter.forward_samples, meter.backward_samples
    assert get("methods", NAME).traits.work(chosen, sizes) == counted
    assert counted == (7 * (24 + 20) + 3 * (72 + 20),) * 2
