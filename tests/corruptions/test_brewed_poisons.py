"""Poisons that are optimised against a surrogate: their equations, their bounds, and their effect."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from conftest import TINY, Cli
from harness.components import get
from harness.corruptions.gradient_cancelling import Cancelling
from harness.corruptions.gradient_matching import Matching
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption
from harness.data.encodings import Images
from harness.data.pool import Pool
from harness.data.types import Dataset, Split, dataset
from harness.errors import HarnessError, Interrupted
from harness.metrics.evidence import Evidence
from harness.plan.protocol import compile_plan
from harness.report.read import read_results
from harness.spec.structure import structure, structure_use
from harness.store.slots import Slot
from harness.training.watch import Meter, Unwatched

COLOUR = Images((3, 8, 8), mean=(0.5, 0.4, 0.6), std=(0.25, 0.2, 0.3))
PLAIN = Images((1, 2, 2), mean=(0.0,), std=(1.0,))
LIGHT = {"restarts": 1, "steps": 2, "batch_size": 5}


def made(encoding: Images, seed: int = 0, train: int = 30, test: int = 12) -> Dataset:
    """Three classes of noisy copies of a picture each."""
    draws = torch.Generator().manual_seed(seed)
    means = 128 + 12 * torch.randn(3, *encoding.shape, generator=draws)

    def split(count: int) -> Split:
        y = torch.arange(count) % 3
        x = means[y] + 40 * torch.randn(count, *encoding.shape, generator=draws)
        return Split(x.clamp(0, 255).round().to(torch.uint8), y)

    return dataset("made", split(train), split(test), ("a", "b", "c"), encoding, "made")


def network(seed: int = 0) -> nn.Module:
    """A small convolutional network in eval mode, whose running statistics are not its first."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(64, 3),
    )  # fmt: skip
    model(torch.randn(20, 3, 8, 8) + 1)
    return model.eval()


def linear(encoding: Images = COLOUR, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(encoding.stored(1).numel(), 3)).eval()


class Answer:
    """Answers every request with a copy of one model."""

    def __init__(self, model: nn.Module) -> None:
        self.own = model

    def model(self, name: str) -> nn.Module:
        return copy.deepcopy(self.own)


def prepared(name: str, data: Dataset, model: nn.Module, **more: Any) -> tuple[Any, CorruptionTask]:
    """The settings of a corruption and its task; ``task`` holds keywords of the latter."""
    given = {"corruption": name, "rows": torch.arange(len(data.train.targets)), "seed": "s"}
    given |= {"dataset": data, "answers": Answer(model), **more.pop("task", {})}
    return structure_use("corruptions", {"name": name, **more}).settings, CorruptionTask(**given)


def brewed(name: str, data: Dataset, model: nn.Module, **more: Any) -> Corruption:
    found, task = prepared(name, data, model, **more)
    corruption: Corruption = get("corruptions", name).function(data.train, found, task)
    return corruption


def trained(x: torch.Tensor, y: torch.Tensor, seed: int = 0) -> nn.Module:
    """Softmax regression on stored images."""
    model, shown = linear(seed=seed), COLOUR.batch(x)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    for _ in range(100):
        optimizer.zero_grad()
        F.cross_entropy(model(shown), y).backward()
        optimizer.step()
    return model


def accuracy(model: nn.Module, split: Split) -> float:
    right = model(COLOUR.batch(split.inputs)).argmax(1) == split.targets
    return float(right.float().mean())


# Gradient matching


def test_the_gradient_of_the_match_is_that_of_finite_differences() -> None:
    data, label = made(COLOUR), 2
    found, task = prepared("gradient_matching", data, network(), count=4, **LIGHT)
    brew = Matching(data.train.inputs[:4], torch.tensor([0, 3]), label, found, task)
    exact = network().double()

    def flat(x: torch.Tensor) -> torch.Tensor:
        loss = F.cross_entropy(exact(x), torch.full((len(x),), label))
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(exact.parameters()))])

    mean, std = (torch.tensor(v).double().view(-1, 1, 1) for v in (COLOUR.mean, COLOUR.std))
    target = flat((data.test.inputs[[0, 3]].double() / 255 - mean) / std)

    def loss_at(change: torch.Tensor) -> float:
        images, draws = brew.base.double() + 255 * change * std, torch.Generator().manual_seed(5)
        for use in found.augment:
            function = get("augmentations", use.name).function
            images = function(images, settings=use.settings, generator=draws)
        return 1 - float(F.cosine_similarity(target, flat((images / 255 - mean) / std), dim=0))

    change = brew.descent.values
    loss, gradient = brew.matched(brew.base, change, torch.Generator().manual_seed(5))
    assert loss == pytest.approx(loss_at(change.double()), abs=1e-5)
    for place in ((0, 0, 4, 4), (1, 2, 3, 5), (3, 1, 4, 2)):
        step = torch.zeros_like(change, dtype=torch.float64)
        step[place] = 1e-5
        slope = (loss_at(change + step) - loss_at(change - step)) / 2e-5
        assert slope != 0
        assert float(gradient[place]) == pytest.approx(slope, rel=2e-3, abs=1e-7)


def test_the_first_step_on_softmax_regression_is_the_one_worked_out_by_hand() -> None:
    """Of two classes, every gradient for one label is (x, -x) times a number: W cancels out."""
    x, target = torch.tensor([200.0, 40, 90, 150]), torch.tensor([30.0, 220, 120, 60])
    images, others = (v.view(1, 1, 2, 2).to(torch.uint8) for v in (x, target))
    labels = [torch.tensor([1]), torch.tensor([0])]
    data = dataset("two", Split(images, labels[0]), Split(others, labels[1]), ("a", "b"), PLAIN, "")
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    more = {"eps": 40, "count": 1, "augment": [], "optimizer": {"name": "adam", "lr": 0.01}}
    found, task = prepared("gradient_matching", data, model, restarts=1, steps=9, **more)
    brew = Matching(images, torch.tensor([0]), 1, found, task)
    start = x + 255 * brew.descent.values.flatten()
    cosine = F.cosine_similarity(target, start, dim=0)
    slope = target / target.norm() / start.norm() - cosine * start / start.norm() ** 2
    by_hand = (start + 2.55 * slope.sign()).clamp(x - 40, x + 40)
    assert brew.step(Meter()) == pytest.approx(1 - float(cosine), abs=1e-6)
    torch.testing.assert_close(x + 255 * brew.descent.values.flatten(), by_hand)


@given(
    eps=st.floats(0.01, 255), lr=st.floats(1e-4, 100), rounded=st.booleans(), seed=st.integers(0, 9)
)
@settings(max_examples=20)
def test_poisons_stay_in_the_ball_and_in_the_range_of_images(
    eps: float, lr: float, rounded: bool, seed: int
) -> None:
    data = made(PLAIN, seed)
    optimizer = {"name": "adam", "lr": lr}
    more = {"eps": eps, "optimizer": optimizer, "rounded": rounded, "augment": []}
    found = brewed("gradient_matching", data, linear(PLAIN), count=4, **LIGHT, **more)
    assert found.inputs is not None
    assert found.inputs.dtype == (torch.uint8 if rounded else torch.float32)
    change = found.inputs.double() - data.train.inputs[found.rows].double()
    assert float(change.abs().max()) <= eps * (1 + 1e-6) + 1e-5
    assert 0 <= found.inputs.min() <= found.inputs.max() <= 255
    assert found.targets is None  # labels stay
    label = found.tensors["adversarial"]
    assert bool((data.train.targets[found.rows] == label).all())
    assert bool((data.test.targets[found.tensors["targets"]] != label).all())


def test_the_restart_with_the_lowest_loss_is_kept() -> None:
    data, kept = made(PLAIN), set()
    for seed in range(6):
        more = {**LIGHT, "count": 4, "augment": [], "task": {"seed": f"s{seed}"}}
        runs = [
            brewed("gradient_matching", data, linear(PLAIN), **{**more, "restarts": count})
            for count in (1, 2, 3)
        ]
        losses = runs[-1].tensors["losses"]
        assert torch.equal(runs[1].tensors["losses"], losses[:2])  # others change no start
        best = int(losses.argmin())
        kept.add(best)
        assert torch.equal(runs[-1].inputs, runs[best].inputs)
        assert all(not torch.equal(runs[-1].inputs, run.inputs) for run in runs[:best])
    assert kept == {0, 1, 2}


def test_targets_are_the_same_for_every_amount_and_of_the_class_that_is_asked_for() -> None:
    data = made(PLAIN, train=60)
    few, many = (
        brewed("gradient_matching", data, linear(PLAIN), count=count, targets=2, **LIGHT)
        for count in (5, 9)
    )
    assert set(few.rows.tolist()) < set(many.rows.tolist())
    for name in ("targets", "adversarial"):
        assert torch.equal(few.tensors[name], many.tensors[name])
    asked = {"source_class": 2, "adversarial_class": 0, "targets": 3}
    found = brewed("gradient_matching", data, linear(PLAIN), count=5, **LIGHT, **asked)
    assert data.test.targets[found.tensors["targets"]].tolist() == [2, 2, 2]
    assert found.tensors["adversarial"].tolist() == [0, 0, 0]
    rows = brewed("gradient_matching", data, linear(PLAIN), count=5, rows=[7, 4], **LIGHT)
    assert rows.tensors["targets"].tolist() == [7, 4]
    wrong = {"rows": [0], "adversarial_class": 0}, {"rows": [0, 1, 2]}, {"targets": 9}
    for more, says in zip(
        wrong, ("is of class 0 already", "no class is left", "9 are wanted"), strict=True
    ):
        with pytest.raises(HarnessError, match=says):
            brewed("gradient_matching", data, linear(PLAIN), count=5, **LIGHT, **more)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_new_model_takes_the_target_for_the_adversarial_class(seed: int) -> None:
    data = made(COLOUR, seed, train=300, test=60)
    x, y = data.train.inputs, data.train.targets
    more = {"share": 0.05, "eps": 32, "restarts": 1, "steps": 30, "augment": []}
    found = brewed("gradient_matching", data, trained(x, y), **more)
    target = COLOUR.batch(data.test.inputs[found.tensors["targets"]])
    poisoned = x.float()
    poisoned[found.rows] = found.inputs
    victim, label = trained(poisoned, y, seed=7), found.tensors["adversarial"]
    assert torch.equal(victim(target).argmax(1), label)
    left = torch.ones(len(y), dtype=torch.bool)
    left[found.rows] = False
    retrained = trained(poisoned[left], y[left], seed=7)
    assert not torch.equal(retrained(target).argmax(1), label)
    assert accuracy(victim, data.test) > 0.9


# Gradient cancelling


def objective(brew: Cancelling, data: Dataset, x: torch.Tensor) -> torch.Tensor:
    """|sum of the clean gradient and that of ``x``|^2, in one piece."""
    total = [0.0] * len(brew.cancelled)
    for shown, y in ((COLOUR.batch(data.train.inputs), data.train.targets), (x, brew.y)):
        loss = F.cross_entropy(brew.model(shown), y, reduction="sum")
        found = torch.autograd.grad(loss, brew.cancelled, create_graph=True)
        total = [t + g for t, g in zip(total, found, strict=True)]
    return sum(((t**2).sum() for t in total), start=torch.zeros(()))


@pytest.mark.parametrize("gradient", ["full", "last_layer"])
def test_batches_take_the_step_of_the_whole_objective(gradient: str) -> None:
    data = made(COLOUR)
    more = {"gradient": gradient, "batch_size": 4, "ascent_steps": 2, "count": 9, "steps": 3}
    optimizer = {"name": "sgd", "lr": 1e-3, "momentum": 0.0}
    found, task = prepared(
        "gradient_cancelling", data, network(), optimizer=optimizer, schedule="constant", **more
    )
    brew = Cancelling(data.train, torch.arange(9), found, task)
    assert len(brew.cancelled) == (6 if gradient == "full" else 1)
    for _ in range(2):
        brew.step(Meter())
        brew.done += 1
    x = brew.x.clone().requires_grad_(True)
    loss = objective(brew, data, x)
    [slope] = torch.autograd.grad(loss, x)
    residual = brew.step(Meter())
    clean = torch.cat([g.flatten() for g in brew.clean]).norm()
    assert residual == pytest.approx(float(loss.detach().sqrt() / clean), rel=1e-4)
    torch.testing.assert_close(brew.x, (x - 1e-3 * slope).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("relative", [True, False])
def test_the_ascent_raises_the_loss_and_stays_in_its_ball(relative: bool) -> None:
    data = made(COLOUR)
    model = trained(data.train.inputs, data.train.targets)
    more = {"radius": 0.7, "relative": relative, "ascent_steps": 12, "ascent_lr": 0.5}
    found, task = prepared("gradient_cancelling", data, model, count=3, steps=1, **more)
    brew = Cancelling(data.train, torch.arange(3), found, task)
    losses = [brew.step(Meter()) for brew.done in range(12)]

    def flat(module: nn.Module) -> torch.Tensor:
        return torch.cat([p.detach().flatten() for p in module.parameters()])

    start = flat(model)
    allowed = 0.7 * float(start.norm()) if relative else 0.7
    assert float((flat(brew.model) - start).norm()) == pytest.approx(allowed, rel=1e-4)
    assert losses[-1] > losses[0]


def test_added_samples_cancel_the_gradient_and_cost_more_than_outliers_of_their_size() -> None:
    data = made(COLOUR, train=300, test=150)
    x, y = data.train.inputs, data.train.targets
    more = {"share": 0.1, "radius": 1.5, "ascent_steps": 40, "steps": 60}
    more |= {"optimizer": {"name": "adam", "lr": 0.2}, "clip": True}
    found = brewed("gradient_cancelling", data, trained(x, y), **more)
    assert found.added is not None
    assert len(found.rows) == 0
    assert (len(found.added.targets), found.added.inputs.dtype) == (30, torch.float32)
    assert 0 <= found.added.inputs.min() <= found.added.inputs.max() <= 255
    residuals = found.tensors["residuals"]
    assert residuals[-1] < 0.9 * residuals[0]
    own = brewed("gradient_cancelling", data, linear(), **{**more, "ascent_steps": 1, "steps": 1})
    assert own.added is not None
    assert torch.equal(own.added.targets, found.added.targets)  # right labels, the same samples
    draws = torch.Generator().manual_seed(0)
    change = (found.added.inputs - own.added.inputs).flatten(1)
    order = torch.rand(change.shape, generator=draws).argsort(1)
    signs = torch.randint(2, change.shape, generator=draws) * 2 - 1
    scrambled = own.added.inputs + (change.gather(1, order) * signs).view_as(own.added.inputs)

    def left(inputs: torch.Tensor) -> float:
        labels = torch.cat([y, found.added.targets])  # type: ignore[union-attr]
        return accuracy(trained(torch.cat([x.float(), inputs]), labels, seed=7), data.test)

    assert left(found.added.inputs) < left(scrambled.clamp(0, 255)) - 0.05


def test_published_code_begins_at_the_first_samples() -> None:
    data = made(COLOUR)
    more = {"count": 5, "ascent_steps": 1, "steps": 1, "optimizer": {"name": "sgd", "lr": 1e-9}}
    found = brewed("gradient_cancelling", data, linear(), first=True, **more)
    assert found.added is not None
    assert torch.equal(found.added.targets, data.train.targets[:5])
    torch.testing.assert_close(found.added.inputs, data.train.inputs[:5].float(), rtol=0, atol=1e-3)


# Both


class Stops(Unwatched):
    """Is interrupted at one step."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def step(self, done: int, total: int, loss: float | None) -> None:
        if done == self.at:
            raise Interrupted("stopped")


BREWS: dict[str, dict[str, Any]] = {
    "gradient_matching": {"count": 6, "restarts": 3, "steps": 3, "batch_size": 4},
    "gradient_cancelling": {"count": 6, "ascent_steps": 3, "steps": 6, "batch_size": 4,
                            "optimizer": {"name": "adam", "lr": 0.1}},
}  # fmt: skip


@pytest.mark.parametrize("name", BREWS)
def test_brewing_goes_on_exactly_after_an_interruption(name: str, tmp_path: Path) -> None:
    data, model = made(COLOUR), network()
    task: dict[str, Any] = {"watch": Unwatched()}
    whole = brewed(name, data, model, task=task, **BREWS[name])
    meter = task["watch"].meter
    assert meter.steps == 9
    for number, stops in enumerate([(1, 2, 3, 7), (4, 6, 8), (5,)]):
        slot = Slot(tmp_path / str(number), every_seconds=1e9)
        for at in stops:
            with pytest.raises(Interrupted):
                brewed(name, data, model, task={"watch": Stops(at), "slot": slot}, **BREWS[name])
        task = {"watch": Unwatched(), "slot": slot}
        found = brewed(name, data, model, task=task, **BREWS[name])
        parts = [(whole.tensors[key], value) for key, value in found.tensors.items()]
        if found.inputs is not None:
            parts.append((whole.inputs, found.inputs))
        if found.added is not None:
            parts.append((whole.added.inputs, found.added.inputs))  # type: ignore[union-attr]
        assert all(torch.equal(one, other) for one, other in parts)
        assert task["watch"].meter == meter


def test_a_loss_that_is_no_number_stops_the_brewing() -> None:
    model = linear(PLAIN)
    with torch.no_grad():
        model[1].weight.fill_(torch.nan)
    with pytest.raises(HarnessError, match="gradient_matching: the loss is nan at step 1"):
        brewed("gradient_matching", made(PLAIN), model, count=3, **LIGHT)


def targeted(logits: torch.Tensor) -> Evidence:
    """Logits of test samples 0 to 4; 4, 1 and 3 are targets, to get the classes 1, 1 and 0."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 4))
    images = torch.arange(5, dtype=torch.uint8).view(-1, 1, 1, 1)
    encoding = Images((1, 1, 1), mean=(0.0,), std=(1.0,))
    pool = Pool(Split(images, torch.zeros(5).long()), torch.arange(5), encoding=encoding)
    tensors = {"targets": torch.tensor([4, 1, 3]), "adversarial": torch.tensor([1, 1, 0])}
    found = Evidence(
        models={"unlearned": model}.__getitem__, pools={"test": pool}, classes=4,
        target_class=None, costs={}, seed="s", corruption=tensors,
        shared=lambda split, make: make(),
    )  # fmt: skip
    found._logits["test", "unlearned"] = logits
    return found


def test_target_success_counts_the_targets_alone() -> None:
    found = targeted(torch.eye(4)[torch.tensor([0, 1, 2, 3, 1])])
    assert get("metrics", "target_success").function(found, None) == {"target_success": 2 / 3}


def test_the_targets_margin_is_that_over_the_next_class_and_tells_who_succeeds() -> None:
    margin = get("metrics", "target_margin").function
    logits = torch.zeros(5, 4)
    logits[4] = torch.tensor([3.0, 4.0, -9.0, 0.0])  # class 1 is 1 above class 0
    logits[1] = torch.tensor([0.0, -2.0, 5.0, 1.0])  # class 1 is 7 below class 2
    logits[3] = torch.tensor([2.0, 2.0, 2.0, 2.0])
    assert margin(targeted(logits), None) == {"target_margin": (1 - 7 + 0) / 3}
    assert margin(targeted(logits + 100), None) == margin(targeted(logits), None)
    for sample, wanted in ((4, 1), (1, 1), (3, 0)):  # all succeed, clearly
        logits[sample] = 5 * torch.eye(4)[wanted]
    assert margin(targeted(logits), None) == {"target_margin": 5.0}
    assert get("metrics", "target_success").function(targeted(logits), None) == {
        "target_success": 1.0
    }


def written(folder: Path, corruption: dict[str, Any], **changes: Any) -> Path:
    """The tiny spec with another corruption, a linear model, and without profiles."""
    spec = {**yaml.safe_load(TINY), "methods": ["none", "retrain"], "corruption": corruption}
    spec |= {"model": {"name": "mlp", "hidden": []}, "forget": {"set": "corrupted"}, **changes}
    del spec["profiles"]
    file = folder / "spec.yaml"
    file.write_text(yaml.safe_dump(spec, sort_keys=False))
    return file


def test_cells_share_the_clean_model_and_victims_begin_elsewhere(tmp_path: Path) -> None:
    shares = {"sweep": [0.04, 0.08]}
    file = written(tmp_path, {"name": "gradient_matching", "share": shares})
    plan = compile_plan(structure(yaml.safe_load(file.read_text())))
    brewing = [s for s in plan.stages.values() if s.kind == "corrupt" and dict(s.inputs)]
    [surrogate] = {stage.input("model:surrogate") for stage in brewing}
    victims = [s for s in plan.stages.values() if s.kind == "train" and s.key != surrogate]
    assert len(brewing) == len(victims) == 2
    assert all(victim.draws != plan.stages[surrogate].draws for victim in victims)


RUNS = [
    ({"name": "gradient_matching", "restarts": 1, "steps": 3, "count": 10, "targets": 2},
     ["clean_accuracy", "target_success"], {0.0, 0.5, 1.0}),
    ({"name": "gradient_cancelling", "ascent_steps": 3, "steps": 3, "count": 10},
     ["forget_accuracy"], {n / 10 for n in range(11)}),
]  # fmt: skip


@pytest.mark.parametrize(("corruption", "metrics", "values"), RUNS, ids=list(BREWS))
def test_an_attack_runs_from_a_spec(
    cli: Cli, tmp_path: Path, corruption: dict[str, Any], metrics: list[str], values: set[float]
) -> None:
    file = written(tmp_path, corruption, metrics=metrics)
    done = cli("run", file, "--out", "out", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    rows = read_results(tmp_path / "out").rows
    assert [row.method for row in rows] == ["none", "retrain"]
    assert all(row.metrics[metrics[-1]] in values for row in rows)


BAD = [
    ({"adversarial_class": 10}, "corruption.adversarial_class: class 10 does not exist"),
    ({"source_class": 11}, "corruption.source_class: class 11 does not exist"),
    ({"adversarial_class": 1, "source_class": 1}, "of the adversarial class already"),
    ({"eps": 0}, "corruption.eps"),
    ({"eps": 256}, "corruption.eps"),
    ({"rows": [100]}, "corruption.rows: found 100; there are 100 test samples"),
    ({"share": 0.1}, "found both"),
    ({"augment": [{"name": "cutout", "size": 9}]}, "does not fit images of 8x8"),
]


@pytest.mark.parametrize(("more", "says"), BAD, ids=[str(more) for more, _ in BAD])
def test_settings_that_cannot_be_are_refused(
    cli: Cli, tmp_path: Path, more: dict[str, Any], says: str
) -> None:
    corruption = {"name": "gradient_matching", "count": 5, **more}
    done = cli("validate", written(tmp_path, corruption, metrics=["target_success"]))
    assert done.returncode == 2
    assert says in done.stderr


def test_target_success_is_refused_where_no_corruption_leaves_targets(
    cli: Cli, tmp_path: Path
) -> None:
    done = cli("validate", written(tmp_path, {"name": "gradient_cancelling", "count": 5},
                                   metrics=["target_success"]))  # fmt: skip
    assert done.returncode == 2
    says = "'target_success' needs a corruption that leaves 'targets'; found 'gradient_cancelling'"
    assert says in done.stderr


def test_brewing_is_refused_for_text(cli: Cli, tmp_path: Path) -> None:
    for name in BREWS:
        corruption, data = {"name": name, "count": 5}, {"dataset": "imdb"}
        done = cli("validate", written(tmp_path, corruption, data=data))
        assert done.returncode == 2
        assert f"corruption.name: {name!r} takes images; the data set has tokens" in done.stderr
