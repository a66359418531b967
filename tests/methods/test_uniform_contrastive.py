"""The challenge's first place against hand-worked losses and a slow version of its pseudocode."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from methods.problem import make_task, run
from scipy.spatial.distance import jensenshannon
from torch import nn

from conftest import TINY, Cli
from harness.components import get
from harness.errors import Interrupted
from harness.methods.task import Task
from harness.methods.uniform_contrastive import contrast, from_uniform
from harness.plan.cost import Sizes
from harness.spec.structure import structure_use
from harness.store.slots import Slot
from harness.training.watch import Unwatched

NAME = "kl_uniform_contrastive"
# 24 forget and 72 retain samples: three pairs of batches, the forget set's last one smaller.
SMALL = {"epochs": 2, "forget_rounds": 2, "forget_batch_size": 10, "retain_batch_size": 32}


def normed(seed: int = 5) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.BatchNorm1d(6), nn.Linear(6, 10))


def state(model: nn.Module) -> torch.Tensor:
    return torch.cat([value.double().flatten() for value in model.state_dict().values()])


def divergence(logits: list[list[float]], **settings: Any) -> float:
    chosen = structure_use("methods", {"name": NAME, **settings}).settings
    return float(from_uniform(torch.tensor(logits, dtype=torch.float64), chosen))


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


P, U = [0.25, 0.75], [0.5, 0.5]
LOGITS = [[0.0, math.log(3)]]
M = [0.375, 0.625]


@pytest.mark.parametrize("weight", [0.0, 0.85])
def test_the_divergence_of_uniform_outputs_is_zero(weight: float) -> None:
    flat = [[2.0, 2.0, 2.0], [-1.0, -1.0, -1.0]]
    assert divergence(flat, symmetric_weight=weight) == pytest.approx(0, abs=1e-7)
    assert divergence(flat, divergence="jsd") == pytest.approx(0, abs=1e-7)


def test_a_weight_of_zero_leaves_the_plain_divergence_from_the_uniform_distribution() -> None:
    assert divergence(LOGITS) == pytest.approx(math.log(4 / 3) / 2, rel=1e-6)
    assert divergence(LOGITS, symmetric_weight=0) == divergence(LOGITS)
    # The mean over samples, not over elements.
    assert divergence([*LOGITS, [0.0, 0.0]]) == pytest.approx(math.log(4 / 3) / 4, rel=1e-6)


def test_the_modified_divergence_adds_the_other_direction_by_its_weight() -> None:
    expected = kl(U, P) + 0.85 * kl(P, U)
    assert divergence(LOGITS, symmetric_weight=0.85) == pytest.approx(expected, rel=1e-6)


def test_the_jsd_as_meant_is_that_of_scipy() -> None:
    found = divergence(LOGITS, divergence="jsd")
    assert found == pytest.approx(jensenshannon(P, U) ** 2, rel=1e-6)


@pytest.mark.parametrize("weight", [0.0, 0.85])
def test_the_published_jsd_takes_the_softmax_of_probabilities(weight: float) -> None:
    again = [math.exp(p) / (math.exp(0.25) + math.exp(0.75)) for p in P]
    halves = [kl(M, a) + weight * kl(a, M) for a in (again, U)]
    found = divergence(LOGITS, divergence="jsd_published", symmetric_weight=weight)
    assert found == pytest.approx(sum(halves) / 2, abs=1e-6)
    assert found != pytest.approx(jensenshannon(P, U) ** 2, rel=0.01)


def test_the_contrast_is_least_where_all_retain_samples_are_alike() -> None:
    retain = torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    least = contrast(torch.zeros(4, 3), retain, 1.15)
    assert float(least) == pytest.approx(math.log(7))
    assert float(contrast(torch.ones(4, 3), retain, 1.15)) > math.log(7)


def test_the_contrast_is_the_softmax_over_raw_similarities() -> None:
    forget, retain = torch.tensor([[1.0, 0.0]]), torch.eye(2)
    # Similarities 1 / 0.5 and 0: -[2 - L + 0 - L] / 2 with L = ln(e^2 + 1).
    assert float(contrast(forget, retain, 0.5)) == pytest.approx(math.log(math.e**2 + 1) - 1)


class _Momentum:
    """v <- 0.9 v + g + decay * w; w <- w - lr * v."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.weights, self.decay = list(model.parameters()), decay
        self.velocity = [torch.zeros_like(w) for w in self.weights]

    def step(self, loss: torch.Tensor, lr: float) -> None:
        gradients = torch.autograd.grad(loss, self.weights)
        with torch.no_grad():
            for weight, velocity, gradient in zip(
                self.weights, self.velocity, gradients, strict=True
            ):
                velocity.mul_(0.9).add_(gradient + self.decay * weight)
                weight -= lr * velocity


def log_p(scores: torch.Tensor) -> torch.Tensor:
    return scores - scores.exp().sum(1, keepdim=True).log()


def slow(model: nn.Module, task: Task, weight: float, period: int) -> nn.Module:
    """The pseudocode, batch by batch, with ``SMALL`` and a cosine of ``period`` steps."""
    model.train()
    first = _Momentum(model, 0.0)
    for batch in task.forget.epoch(10, task.generator("fit 1 batches")):
        log = log_p(model(batch.x))
        loss = -math.log(10) - log.mean(1)
        loss = loss + weight * (log.exp() * (log + math.log(10))).sum(1)
        first.step(loss.mean(), 0.005)
    forgetting, retaining, taken = _Momentum(model, 0.0), _Momentum(model, 0.01), 0
    forget_draws, fixed_draws, retain_draws = (
        task.generator(f"{name} batches") for name in ("forget", "contrast", "retain")
    )
    for _ in range(2):
        for _ in range(2):
            forget = list(task.forget.epoch(10, forget_draws))
            retain = list(task.retain.epoch(32, fixed_draws))
            for number in range(min(len(forget), len(retain))):
                own = model(forget[number].x)
                similar = own @ model(retain[number].x).detach().T / 1.15
                lr = 1e-6 + (3e-4 - 1e-6) * (1 + math.cos(math.pi * taken / period)) / 2
                forgetting.step(-log_p(similar).mean(), lr)
                taken += 1
        for batch in task.retain.epoch(32, retain_draws):
            log = log_p(model(batch.x))
            retaining.step(-log[torch.arange(len(log)), batch.y].mean(), 0.001 * 32 / 64)
    assert taken == 12
    return model.eval()


@pytest.mark.parametrize(
    ("over", "weight", "period"), [("epochs", 0.0, 6), ("rounds", 0.0, 12), ("epochs", 0.85, 6)]
)
def test_the_method_is_its_pseudocode(over: str, weight: float, period: int) -> None:
    expected = slow(normed(), make_task(), weight, period)
    found = run(NAME, make_task(), normed(), **SMALL, cosine_over=over, symmetric_weight=weight)
    torch.testing.assert_close(state(found), state(expected), rtol=1e-4, atol=1e-6)
    assert not found.training


def test_with_two_forget_rounds_the_published_rate_rises_again() -> None:
    found = [state(run(NAME, make_task(), normed(), **SMALL, cosine_over=over, forget_lr=0.1))
             for over in ("epochs", "rounds")]  # fmt: skip
    assert not torch.allclose(*found)


def test_other_divergences_change_the_first_stage() -> None:
    found = [state(run(NAME, make_task(), normed(), **SMALL, uniform_lr=1.0, divergence=kind))
             for kind in ("kl", "jsd", "jsd_published")]  # fmt: skip
    assert not any(torch.allclose(found[i], found[i - 1]) for i in range(3))


@pytest.mark.parametrize("retain_batch_size", [32, 60])
def test_the_estimate_is_what_the_meter_counts(retain_batch_size: int) -> None:
    settings = {**SMALL, "retain_batch_size": retain_batch_size}
    task = make_task()
    run(NAME, task, normed(), **settings)
    chosen = structure_use("methods", {"name": NAME, **settings}).settings
    sizes = Sizes(96, 72, 24, 0, 0, 0, base_steps=6, batch_size=16)
    meter = task.watch.meter
    assert get("methods", NAME).traits.work(chosen, sizes) == (
        meter.forward_samples, meter.backward_samples
    )  # fmt: skip


class _Stopper(Unwatched):
    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def step(self, done: int, total: int, loss: float | None) -> None:
        if self.meter.steps == self.after:
            raise Interrupted("stopped")


@pytest.mark.parametrize("after", [2, 3, 8])
def test_cut_off_in_either_stage_it_ends_with_the_same_bytes(after: int, tmp_path: Path) -> None:
    whole = run(NAME, make_task(), normed(), **SMALL)
    slot = Slot(tmp_path / "slot", every_seconds=1e9)
    with pytest.raises(Interrupted):
        run(NAME, make_task(watch=_Stopper(after), slot=slot), normed(), **SMALL)
    again = make_task(slot=slot)
    assert torch.equal(state(run(NAME, again, normed(), **SMALL)), state(whole))
    assert again.watch.meter.steps == 3 + 2 * (2 * 3 + 3)


def test_a_weight_of_a_jsd_is_refused_before_anything_runs(cli: Cli, tmp_path: Path) -> None:
    method = f"  - {{name: {NAME}, divergence: jsd, symmetric_weight: 0.85}}\n  - retrain\n"
    (tmp_path / "spec.yaml").write_text(TINY.replace("  - retrain\n", method))
    done = cli("validate", "spec.yaml")
    assert done.returncode == 2
    assert "symmetric_weight" in done.stderr + done.stdout
    assert "a JSD is symmetric" in done.stderr + done.stdout
