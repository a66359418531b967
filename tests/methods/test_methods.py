"""Methods against hand-worked cases, limits and slow obvious versions."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from methods.problem import (
    EVERYTHING,
    RECIPE,
    build,
    everything,
    make_task,
    pool,
    run,
)
from torch.nn import functional as F

from harness.components import get
from harness.data.pool import Pool
from harness.errors import HarnessError, Interrupted
from harness.methods.gradient import NegativeGradient, short_recipe
from harness.methods.teachers import divergence
from harness.spec.blocks import Train
from harness.spec.structure import structure_block, structure_use
from harness.store.slots import Slot
from harness.training.loop import fit
from harness.training.seeding import generator
from harness.training.watch import Unwatched


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def fisher(subset: Pool, **settings: object) -> dict[str, torch.Tensor]:
    use = structure_use("preparations", {"name": "fisher", **settings})
    return get("preparations", "fisher").function(build("base"), make_task(), use.settings, subset)


@pytest.mark.parametrize(("gradient", "size"), [("batch", 7), ("sample", 1)])
def test_fisher_is_the_mean_square_of_each_gradient(gradient: str, size: int) -> None:
    subset = pool(torch.arange(20))
    found = fisher(subset, gradient=gradient, batch_size=7)
    x, y = everything(subset)
    model = build("base")
    slow = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    starts = range(0, 20, size)
    for start in starts:
        model.zero_grad()
        F.cross_entropy(model(x[start : start + size]), y[start : start + size]).backward()
        for name, p in model.named_parameters():
            slow[name] += p.grad**2 / len(starts)  # type: ignore[operator]
    for name, value in slow.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-12)


def ssd(forget: torch.Tensor, other: torch.Tensor, weight: list[float], **settings: object) -> list:
    model = torch.nn.Linear(len(weight), 1, bias=False)
    model.weight.data = torch.tensor([weight])
    prepared = {
        ("fisher", "forget"): {"weight": forget.view(1, -1)},
        ("fisher", "train"): {"weight": other.view(1, -1)},
    }
    changed = run("ssd", make_task(prepared), model, **settings)
    return changed.weight.flatten().tolist()


def test_ssd_dampens_by_equations_6_and_7_as_worked_by_hand() -> None:
    forget = torch.tensor([1.0, 4.0, 4.0, 5.0, 0.0])
    other = torch.tensor([1.0, 1.0, 2.0, 0.0, 0.0])
    # alpha 2: the 2nd (4 > 2) and the 4th (5 > 0) are selected; 4 > 2 * 2 is not.
    assert ssd(forget, other, [8.0] * 5, alpha=2) == [8.0, 2.0, 8.0, 0.0, 8.0]
    # lambda 3: 3 * 1 / 4; lambda 8 would enlarge and is capped at 1.
    assert ssd(forget, other, [8.0] * 5, alpha=2, dampening=3) == [8.0, 6.0, 8.0, 0.0, 8.0]
    assert ssd(forget, other, [8.0] * 5, alpha=2, dampening_over_alpha=4)[1] == 8.0


def test_ssd_agrees_with_a_loop_over_single_weights() -> None:
    draws = torch.Generator().manual_seed(0)
    forget, other = (torch.rand(200, generator=draws) for _ in range(2))
    start = torch.randn(200, generator=draws).tolist()
    found = ssd(forget, other, start, alpha=1.5, dampening=0.7)
    for value, before, f, o in zip(found, start, forget.tolist(), other.tolist(), strict=True):
        expected = before * min(1, 0.7 * o / f) if f > 1.5 * o else before
        assert value == pytest.approx(expected, rel=1e-5)


def test_ssd_with_a_huge_threshold_changes_nothing() -> None:
    assert ssd(torch.rand(9), torch.rand(9) + 0.1, [1.0] * 9, alpha=1e9) == [1.0] * 9


def test_retrain_is_the_base_recipe_on_the_retain_set_bit_for_bit() -> None:
    task = make_task(sees=frozenset({"retain"}))
    found = run("retrain", task, task.fresh("model"))
    plain = build("stage|model")
    fit(
        plain,
        pool(torch.arange(24, 96)),
        RECIPE,
        generator=lambda purpose: generator("stage", f"fit 1 {purpose}"),
    )
    assert torch.equal(weights(found), weights(plain))


def test_the_control_of_retraining_leaves_out_as_many_random_others() -> None:
    task = make_task(sees=frozenset({"retain", "forget"}))
    seen: list[Pool] = []
    task.fit = lambda model, pool, train: seen.append(pool)  # type: ignore
    run("retrain_control", task, task.fresh("model"))
    rows = seen[0].rows.tolist()
    assert len(rows) == len(set(rows)) == len(task.retain) == 72
    assert set(range(24)) < set(rows)
    assert len({*rows} & {*range(24, 48)}) not in (0, 24)  # neither the first nor the last


def test_finetune_starts_from_the_base_model_and_uses_its_own_rate_and_length() -> None:
    task = make_task()
    before = weights(build("base"))
    after = weights(run("finetune", task, steps=1, lr=1e-9))
    assert task.watch.meter.steps == 1
    torch.testing.assert_close(after, before, atol=1e-6, rtol=0)


def test_one_step_of_gradient_ascent_adds_lr_times_the_gradient() -> None:
    task = make_task()
    task.recipe = structure_block(Train, {"steps": 6, "batch_size": 24})
    model = build("base")
    x, y = everything(task.forget)
    F.cross_entropy(model(x), y).backward()
    expected = torch.cat([(p + 0.3 * p.grad).detach().flatten() for p in model.parameters()])  # type: ignore[operator]
    found = weights(run("gradient_ascent", task, steps=1, lr=0.3))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_negative_gradient_with_alpha_one_is_finetuning() -> None:
    found = weights(run("negative_gradient", make_task(), alpha=1, steps=4, lr=0.05))
    task, plain = make_task(), build("base")
    settings = NegativeGradient(steps=4, lr=0.05)
    task.fit(plain, task.retain, short_recipe(task, settings, task.retain))
    assert torch.equal(found, weights(plain))


def test_negative_gradient_with_alpha_zero_is_ascent_on_the_forget_set() -> None:
    def loss(model: torch.nn.Module) -> float:
        x, y = everything(pool(torch.arange(24)))
        return float(F.cross_entropy(model(x), y).detach())

    assert loss(run("negative_gradient", make_task(), alpha=0, steps=4, lr=0.1)) > loss(
        build("base")
    )


def test_random_labels_never_teach_the_true_label(monkeypatch: pytest.MonkeyPatch) -> None:
    task, seen = make_task(), []
    monkeypatch.setattr(task, "fit", lambda model, pool, *rest: seen.append(pool))
    run("random_labels", task, with_retain=False)
    run("random_labels", task)
    alone, joined = seen
    assert (alone.targets != task.forget.targets).all()
    assert alone.targets.min() >= 0
    assert alone.targets.max() < 10
    assert torch.equal(joined.targets[:72], task.retain.targets)
    assert torch.equal(joined.targets[72:], alone.targets)


def test_the_distillation_loss_is_the_divergence_of_the_teacher_from_the_student() -> None:
    draws = np.random.default_rng(0)
    student, teacher = draws.normal(size=(2, 5, 4))

    def softmax(z: np.ndarray) -> np.ndarray:
        e = np.exp(z / 4)
        return e / e.sum(1, keepdims=True)

    p, q = softmax(teacher), softmax(student)
    expected = 16 * (p * np.log(p / q)).sum(1).mean()
    found = divergence(torch.tensor(student), torch.tensor(teacher), 4.0)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def kl_to_base(model: torch.nn.Module, subset: Pool) -> float:
    x, _ = everything(subset)
    with torch.no_grad():
        return float(divergence(model(x), build("base")(x), 1.0))


def test_the_max_step_of_scrub_moves_away_from_the_teacher_on_the_forget_set() -> None:
    task, start = make_task(), build("another")
    before = kl_to_base(start, task.forget)
    run("scrub", task, start, epochs=1, max_epochs=1, lr=0.01, alpha=0, gamma=0)
    assert kl_to_base(start, task.forget) > before


def test_the_min_step_of_scrub_moves_towards_the_teacher_on_the_retain_set() -> None:
    task, start = make_task(), build("another")
    before = kl_to_base(start, task.retain)
    run("scrub", task, start, epochs=1, max_epochs=0, lr=0.01, alpha=1, gamma=0)
    assert kl_to_base(start, task.retain) < before


def test_scrub_without_max_steps_never_reads_the_forget_set() -> None:
    run("scrub", make_task(sees=EVERYTHING - {"forget"}), epochs=1, max_epochs=0)


def test_bad_teacher_follows_the_random_model_on_what_is_forgotten() -> None:
    def loud(seed: str) -> torch.nn.Module:
        model = build(seed, hidden=128)  # with outputs that differ clearly between samples
        model[-1].weight.data *= 40
        return model

    task = make_task()
    task._original, task._build = (lambda: loud("base")), loud
    changed = run("bad_teacher", task, loud("base"), steps=600, lr=0.01)
    (x, _), (other, _) = everything(task.forget), everything(task.retain)
    random, base = task.fresh("incompetent teacher"), loud("base")

    def distance(teacher: torch.nn.Module, inputs: torch.Tensor) -> float:
        with torch.no_grad():
            return float(divergence(changed(inputs), teacher(inputs), 1.0))

    assert distance(random, x) < distance(base, x)
    assert distance(base, other) < distance(random, other)


def test_none_changes_nothing() -> None:
    assert torch.equal(weights(run("none", make_task())), weights(build("base")))


def test_a_method_cannot_read_what_it_does_not_declare() -> None:
    task = make_task(sees=frozenset({"retain"}))
    for read in (lambda: task.forget, lambda: task.validation, task.original):
        with pytest.raises(HarnessError, match="declares that it sees retain"):
            read()


def test_the_teacher_is_a_copy_that_learns_nothing() -> None:
    teacher = make_task().original()
    assert not teacher.training
    assert not any(p.requires_grad for p in teacher.parameters())


class _Stopper(Unwatched):
    def step(self, done: int, total: int, loss: float | None) -> None:
        if self.meter.steps == 4:
            raise Interrupted("stopped")


@pytest.mark.parametrize(
    "name",
    ["retrain", "finetune", "gradient_ascent", "negative_gradient", "random_labels", "bad_teacher",
     "scrub", "ngd"],
)  # fmt: skip
def test_a_method_that_was_cut_off_ends_with_the_same_bytes(name: str, tmp_path: Path) -> None:
    length: dict[str, object] = {"epochs": 3} if name == "scrub" else {"steps": 9}
    if name == "ngd":
        name, length["gradient_noise"] = "finetune", 0.01
    whole = run(name, make_task(), **length)
    slot = Slot(tmp_path / "slot", every_seconds=1e9)
    with pytest.raises(Interrupted):
        run(name, make_task(watch=_Stopper(), slot=slot), **length)
    again = make_task(slot=slot)
    assert torch.equal(weights(run(name, again, **length)), weights(whole))


def test_every_method_counts_the_samples_it_processes() -> None:
    for name in ("retrain", "finetune", "gradient_ascent", "negative_gradient", "random_labels",
                 "scrub", "bad_teacher"):  # fmt: skip
        task = make_task()
        run(name, task, copy.deepcopy(build("base")))
        meter = task.watch.meter
        assert meter.forward_samples >= meter.backward_samples > 0, name
