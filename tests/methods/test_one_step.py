"""One step of each method against its formula, worked with plain autograd."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import torch
from torch import nn

from harness.components import get
from harness.data.encodings import Images
from harness.data.pool import Pool
from harness.data.types import Split
from harness.errors import HarnessError
from harness.methods.gradient import NegativeGradient, short_recipe
from harness.methods.task import Task
from harness.plan.cost import Sizes
from harness.spec.blocks import Train
from harness.spec.structure import structure_block, structure_use
from harness.training.watch import Unwatched

KEEP, DROP, CLASSES, LR = 12, 8, 3, 0.5
EVERYTHING = frozenset({"retain", "forget", "validation", "original weights"})
DRAWS = torch.Generator().manual_seed(3)
SPLIT = Split(
    torch.randint(256, (KEEP + DROP, 1, 2, 2), generator=DRAWS, dtype=torch.uint8),
    torch.randint(CLASSES, (KEEP + DROP,), generator=DRAWS),
)
ENCODING = Images((1, 2, 2), mean=(0.5,), std=(0.25,))
PLAIN = {"name": "sgd", "lr": LR, "momentum": 0.0, "weight_decay": 0.0}


def recipe(**changes: Any) -> Train:
    return structure_block(Train, {"steps": 6, "batch_size": KEEP, "optimizer": PLAIN, **changes})


def build(seed: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(sum(seed.encode()))
        return nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))


def convolutional() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first = (nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 1), nn.Flatten())
        return nn.Sequential(*first, nn.Linear(20, 3))


def pool(start: int, stop: int, **more: Any) -> Pool:
    return Pool(SPLIT, torch.arange(start, stop), encoding=ENCODING, **more)


def problem(**changes: Any) -> Task:
    given: dict[str, Any] = {
        "method": "test",
        "sees": EVERYTHING,
        "pools": {"retain": pool(0, KEEP), "forget": pool(KEEP, KEEP + DROP)},
        "original": lambda: build("base"),
        "build": build,
        "recipe": recipe(),
        "classes": CLASSES,
        "device": torch.device("cpu"),
        "seed": "stage",
        "watch": Unwatched(),
    }
    return Task(**{**given, **changes})


def run(name: str, task: Task, model: nn.Module | None = None, **settings: Any) -> nn.Module:
    use = structure_use("methods", {"name": name, **settings})
    changed: nn.Module = get("methods", name).function(model or build("start"), task, use.settings)
    return changed


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def whole(part: Pool) -> tuple[torch.Tensor, torch.Tensor]:
    [batch] = part.ordered(1000)
    return batch.x, batch.y


def descended(model: nn.Module, loss: torch.Tensor, lr: float = LR) -> nn.Module:
    """theta - lr * gradient, by hand."""
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    with torch.no_grad():
        for weight, gradient in zip(model.parameters(), gradients, strict=True):
            weight -= lr * gradient
    return model


def log_p(logits: torch.Tensor) -> torch.Tensor:
    return logits - logits.exp().sum(1, keepdim=True).log()


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return -log_p(logits)[torch.arange(len(labels)), labels].mean()


def kl(teacher: torch.Tensor, student: torch.Tensor, heat: float) -> torch.Tensor:
    """heat^2 * mean over samples of sum_c p_c * log(p_c / q_c)."""
    p, q = log_p(teacher / heat), log_p(student / heat)
    return heat**2 * (p.exp() * (p - q)).sum(1).mean()


def same(found: nn.Module, expected: nn.Module) -> None:
    torch.testing.assert_close(weights(found), weights(expected), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.9])
def test_negative_gradient_weighs_both_losses(alpha: float) -> None:
    task, model = problem(), build("start").train()
    (x, y), (other, labels) = whole(task.retain), whole(task.forget)
    loss = alpha * cross_entropy(model(x), y)
    loss = loss - (1 - alpha) * cross_entropy(model(other), labels)
    expected = descended(model, loss)
    same(run("negative_gradient", task, steps=1, lr=LR, alpha=alpha), expected)


@pytest.mark.parametrize(("alpha", "gamma"), [(0.0, 0.7), (0.4, 0.0), (0.4, 0.7)])
def test_the_min_step_of_scrub_weighs_distillation_and_cross_entropy(
    alpha: float, gamma: float
) -> None:
    task, model = problem(), build("start").train()
    x, y = whole(task.retain)
    logits = model(x)
    loss = alpha * kl(task.original()(x), logits, 2.0) + gamma * cross_entropy(logits, y)
    expected = descended(model, loss)
    found = run("scrub", task, epochs=1, max_epochs=0, lr=LR, alpha=alpha, gamma=gamma,
                temperature=2)  # fmt: skip
    same(found, expected)


def test_the_max_step_of_scrub_ascends_on_the_divergence_alone() -> None:
    task, model = problem(), build("start").train()
    x, _ = whole(task.forget)
    expected = descended(model, -kl(task.original()(x), model(x), 2.0))
    found = run("scrub", task, epochs=1, max_epochs=1, lr=LR, alpha=0, gamma=0, temperature=2)
    same(found, expected)


def test_the_forget_batch_size_of_scrub_sets_the_number_of_max_steps() -> None:
    task = problem()
    run("scrub", task, epochs=1, max_epochs=1, forget_batch_size=2)
    assert task.watch.meter.steps == DROP // 2 + 1


def test_bad_teacher_descends_on_the_divergence_from_each_samples_teacher() -> None:
    task, model = problem(recipe=recipe(batch_size=KEEP + DROP)), build("start").train()
    (x, _), (other, _) = whole(task.retain), whole(task.forget)
    random = task.fresh("incompetent teacher").eval()
    taught = torch.cat([task.original()(x), random(other)]).detach()
    expected = descended(model, kl(taught, model(torch.cat([x, other])), 3.0))
    same(run("bad_teacher", task, steps=1, lr=LR, temperature=3), expected)


def test_gradient_ascent_is_plain_unless_it_takes_the_recipes_optimiser() -> None:
    heavy = recipe(optimizer={**PLAIN, "momentum": 0.9, "weight_decay": 0.1})
    found = {}
    for plain in (True, False):
        model = build("start").train()
        x, y = whole(problem().forget)
        for _ in range(2):
            descended(model, -cross_entropy(model(x), y))
        task = problem(recipe=heavy)
        changed = run("gradient_ascent", task, steps=2, lr=LR, momentum_free=plain)
        found[plain] = torch.allclose(weights(changed), weights(model), rtol=1e-4, atol=1e-6)
    assert found == {True: True, False: False}


def test_short_recipes_keep_the_last_weights_at_a_constant_rate() -> None:
    long = recipe(schedule="cosine", checkpoint="best_test", ema=0.9, extra_step=True)
    short = short_recipe(problem(recipe=long), NegativeGradient(epochs=2.0, lr=0.1))
    assert not short.extra_step  # that is Potion's, whose recipe this is not
    assert (short.schedule.name, short.checkpoint, short.ema) == ("constant", "last", None)
    assert (short.steps, short.epochs, short.optimizer.settings.lr) == (None, 2.0, 0.1)


def test_finetuning_with_a_recipe_of_its_own_takes_nothing_of_it_from_the_base_recipe() -> None:
    flip = (structure_use("augmentations", "horizontal_flip"),)
    pools = {"retain": pool(0, KEEP, augment=flip)}
    base = recipe(class_weights="balanced", schedule="cosine")
    model, task = build("start").train(), problem(pools=pools, recipe=base)
    draws, velocity = task.generator("fit 1 batches"), torch.zeros(len(weights(model)))
    for factor in (1.0, 0.5):  # a cosine over two epochs
        for batch in pools["retain"].augmented(False).epoch(5, draws):
            loss = cross_entropy(model(batch.x), batch.y)
            found = torch.autograd.grad(loss, list(model.parameters()))
            gradient = torch.cat([g.flatten() for g in found]) + 5e-4 * weights(model)
            velocity = 0.9 * velocity + gradient
            nn.utils.vector_to_parameters(
                weights(model) - 0.1 * factor * velocity, model.parameters()
            )
    own = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}
    changed = run("finetune", task, epochs=2, batch_size=5, class_weights="none", augment=False,
                  optimizer=own, schedule={"name": "cosine", "per": "epoch"})  # fmt: skip
    same(changed, model)
    assert task.watch.meter.steps == 6


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("kl_uniform_contrastive", {"epochs": 1}),
        ("gradient_projection", {"rounds": (1, 1)}),
        ("targeted_reinit", {"epochs": 1}),
        ("conv_noise", {"epochs": 2}),
        ("prune_reinit_entropy", {"epochs": 1}),
        ("kernel_transpose", {"epochs": 1}),
        ("mixture", {"epochs": 1, "transpose_share": 0, "confidence": 0}),
        ("reset_distil", {"warmup_epochs": 0, "epochs": 1}),
        ("repeated_noise", {"noisy_epochs": 1, "final_rates": (1e-3,)}),
        ("layer_reinit_match", {"cycles": (1,), "rates": (1e-3,), "layers": 1}),
    ],
)
def test_methods_of_the_challenge_augment_only_when_asked(
    name: str, settings: dict[str, Any]
) -> None:
    flip = (structure_use("augmentations", "horizontal_flip"),)
    found = []
    for augment, asked in (((), False), (flip, False), (flip, True)):
        pools = {
            "retain": pool(0, KEEP, augment=augment),
            "forget": pool(KEEP, KEEP + DROP, augment=augment),
        }
        task = problem(pools=pools, original=convolutional, build=lambda seed: convolutional())
        found.append(weights(run(name, task, convolutional(), **settings, augment=asked)))
    assert torch.equal(found[1], found[0])
    assert not torch.equal(found[2], found[0])


def fisher(part: Pool, task: Task, **settings: Any) -> dict[str, torch.Tensor]:
    use = structure_use("preparations", {"name": "fisher", **settings})
    model = build("base").train()
    found: dict[str, torch.Tensor] = get("preparations", "fisher").function(
        model, task, use.settings, part
    )
    return found


@pytest.mark.parametrize("gradient", ["batch", "sample"])
def test_fisher_leaves_batch_norm_in_eval_mode(gradient: str) -> None:
    task = problem()
    found = fisher(task.retain, task, gradient=gradient, batch_size=5)
    x, y = whole(task.retain)
    model, size = build("base").eval(), 5 if gradient == "batch" else 1
    terms = []
    for at in range(0, KEEP, size):
        loss = cross_entropy(model(x[at : at + size]), y[at : at + size])
        terms.append([g**2 for g in torch.autograd.grad(loss, list(model.parameters()))])
    for (name, _), *squares in zip(model.named_parameters(), *terms, strict=True):
        torch.testing.assert_close(found[name], torch.stack(squares).mean(0))


def test_fisher_augments_only_when_asked() -> None:
    flip = (structure_use("augmentations", "horizontal_flip"),)
    still, moving = pool(0, KEEP), pool(0, KEEP, augment=flip)
    plain = fisher(still, problem())["1.weight"]
    assert torch.equal(fisher(moving, problem())["1.weight"], plain)
    augmented = fisher(moving, problem(), augment=True)["1.weight"]
    assert not torch.equal(augmented, plain)
    assert torch.equal(fisher(moving, problem(), augment=True)["1.weight"], augmented)


def test_fisher_of_nothing_is_refused() -> None:
    with pytest.raises(HarnessError, match="no sample"):
        fisher(pool(0, 0), problem())


def test_ssd_asks_for_the_importances_that_its_settings_name() -> None:
    ask = get("methods", "ssd").traits.requests
    for subset in ("train", "retain"):
        chosen = {"name": "ssd", "importance_set": subset, "gradient": "sample",
                  "batch_size": 7, "augment": True, "shuffle": True}  # fmt: skip
        other, forget = ask(structure_use("methods", chosen).settings)
        assert (other.name, other.subset, forget.subset) == ("fisher", subset, "forget")
        assert other.settings == forget.settings
        found = attrs.asdict(other.settings)
        assert found == {
            "gradient": "sample", "batch_size": 7, "augment": True, "shuffle": True,
            "batches": None,
        }  # fmt: skip


@pytest.mark.parametrize("subset", ["forget", "train"])
def test_a_preparation_shows_nothing_that_the_method_may_not_see(subset: str) -> None:
    prepared = {("fisher", part): {"w": torch.ones(1)} for part in ("retain", "forget", "train")}
    task = problem(sees=frozenset({"retain"}), prepared=prepared)
    assert set(task.prepared("fisher", "retain")) == {"w"}
    with pytest.raises(HarnessError, match="reads 'forget'"):
        task.prepared("fisher", subset)


def test_a_preparation_that_was_not_asked_for_is_named() -> None:
    with pytest.raises(HarnessError, match="did not ask for 'fisher' of the train set"):
        problem().prepared("fisher", "train")


@pytest.mark.parametrize("name", ["gradient_ascent", "negative_gradient", "scrub", "bad_teacher"])
def test_an_empty_forget_set_is_named(name: str) -> None:
    task = problem(pools={"retain": pool(0, KEEP), "forget": pool(0, 0)})
    with pytest.raises(HarnessError, match="the forget set is empty"):
        run(name, task)


class _Kept:
    """A slot that remembers how often it was looked into."""

    def __init__(self) -> None:
        self.loads = 0

    def load(self) -> None:
        self.loads += 1

    def save(self, tensors: Any, state: Any) -> None: ...

    def due(self) -> bool:
        return False


def test_only_the_first_fit_of_a_stage_has_its_slot() -> None:
    slot = _Kept()
    task = problem(slot=slot)
    for _ in range(2):
        task.fit(build("start"), task.retain, recipe(steps=1))
    assert slot.loads == 1


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("none", {}),
        ("retrain", {"epochs": 2}),
        ("finetune", {"steps": 4}),
        ("finetune", {"steps": 4, "batch_size": 6}),
        ("gradient_ascent", {"epochs": 2}),
        ("random_labels", {"epochs": 2, "with_retain": False}),
        ("random_labels", {"epochs": 2}),
        ("scrub", {"epochs": 3, "max_epochs": 2}),
        ("scrub", {"epochs": 1, "max_epochs": 2}),
        ("bad_teacher", {"epochs": 2}),
    ],
)
def test_the_estimate_of_the_plan_is_what_the_meter_counts(
    name: str, settings: dict[str, Any]
) -> None:
    sizes = Sizes(KEEP + DROP, KEEP, DROP, 0, 0, 0, base_steps=6, batch_size=KEEP)
    chosen = structure_use("methods", {"name": name, **settings}).settings
    task = problem()
    run(name, task, **settings)
    meter = task.watch.meter
    estimate = get("methods", name).traits.work(chosen, sizes)
    assert tuple(estimate) == (meter.forward_samples, meter.backward_samples)


def test_negative_gradient_counts_both_of_its_batches() -> None:
    equal = {"retain": pool(0, KEEP), "forget": pool(0, KEEP)}
    task = problem(pools=equal)
    run("negative_gradient", task, epochs=2)
    assert (task.watch.meter.forward_samples, task.watch.meter.backward_samples) == (48, 48)
    sizes = Sizes(2 * KEEP, KEEP, KEEP, 0, 0, 0, base_steps=6, batch_size=KEEP)
    chosen = structure_use("methods", {"name": "negative_gradient", "epochs": 2}).settings
    assert get("methods", "negative_gradient").traits.work(chosen, sizes) == (48, 48)
