"""One network for several tasks: its losses, their weights, and what they are without the rest."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from conftest import TINY, Cli
from harness.components import Facts, NoSettings, get
from harness.data.pool import Batch, Pool
from harness.data.types import DataRoot
from harness.errors import HarnessError
from harness.report import read_results
from harness.spec.blocks import Train
from harness.spec.structure import structure_block, structure_use
from harness.training.loop import fit
from harness.training.seeding import generator, seeded_build

DIGITS = get("datasets", "digits").function(NoSettings(), DataRoot(None, offline=True))
TRUNK = {"name": "small_cnn", "widths": [8, 16]}


def build(trunk: Any = TRUNK, **settings: object) -> Any:
    use = structure_use("models", {"name": "multi_task", "trunk": trunk, "width": 8, **settings})
    function = get("models", "multi_task").function
    return seeded_build(lambda: function(use.settings, DIGITS.encoding, 10), "network")


def alone() -> nn.Module:
    use = structure_use("models", TRUNK)
    function = get("models", "small_cnn").function
    return seeded_build(lambda: function(use.settings, DIGITS.encoding, 10), "network")


def batch(count: int = 12) -> Batch:
    pool = Pool(DIGITS.train, torch.arange(count), encoding=DIGITS.encoding)
    return next(pool.with_maps(("edges",)).ordered(count))


def plain(logits: torch.Tensor, given: Batch) -> torch.Tensor:
    return F.cross_entropy(logits, given.y)


def test_with_weight_0_of_the_other_task_gradients_are_those_of_the_class_alone() -> None:
    model, other, given = build(task_weight=0.0), alone(), batch()
    model.joint_loss(given, plain).backward()
    plain(other(given.x), given).backward()
    for (name, ours), theirs in zip(
        model.trunk.named_parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(ours, theirs), name
        assert torch.equal(ours.grad, theirs.grad), name
    assert all(parameter.grad is None for parameter in model.heads.parameters())


def test_the_last_linear_layer_is_that_of_the_class() -> None:
    model = build()
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert layers[-1] is model.trunk[-1]


def test_with_weight_0_of_the_class_its_layer_gets_no_gradient() -> None:
    model, given = build(class_weight=0.0), batch()
    model.joint_loss(given, plain).backward()
    assert model.trunk[-1].weight.grad is None
    assert model.trunk[0].weight.grad.abs().sum() > 0


def test_fixed_weights_are_those_of_the_sum() -> None:
    model, given = build(class_weight=0.5, task_weight=3.0).eval(), batch()
    logits, maps = model.outputs(given.x)
    assert torch.equal(logits, model(given.x))
    assert maps["edges"].shape == (12, 1, 8, 8)
    error = (maps["edges"] - given.maps["edges"]).abs().mean()
    expected = 0.5 * plain(logits, given) + 3 * error
    torch.testing.assert_close(model.joint_loss(given, plain), expected)


def test_the_gradient_of_an_uncertain_weight_is_that_worked_by_hand() -> None:
    model, given = build(weighting="uncertainty", task_weight=2.0).eval(), batch()
    with torch.no_grad():
        model.spread.copy_(torch.tensor([0.5, 2.0]))
    losses = {name: value.item() for name, value in model.task_losses(given, plain).items()}
    model.joint_loss(given, plain).backward()
    # d/ds (L / (2 s^2) + log(1 + s^2)) = -L / s^3 + 2 s / (1 + s^2)
    expected = [-8 * losses["class"] + 0.8, 2 * (-losses["edges"] / 8 + 0.8)]
    torch.testing.assert_close(model.spread.grad, torch.tensor(expected))


@pytest.mark.parametrize("weighting", ["fixed", "uncertainty"])
def test_both_heads_learn_in_one_training(weighting: str) -> None:
    model = build(weighting=weighting)
    pool = Pool(DIGITS.train, torch.arange(600), encoding=DIGITS.encoding)
    optimizer = {"name": "adam", "lr": 0.01}
    recipe = structure_block(Train, {"epochs": 6, "batch_size": 50, "optimizer": optimizer})
    fit(model, pool, recipe, generator=lambda purpose: generator("here", purpose))
    test = Pool(DIGITS.test, torch.arange(200), encoding=DIGITS.encoding).with_maps(("edges",))
    given = next(test.ordered(200))
    with torch.no_grad():
        logits, maps = model.outputs(given.x)
    targets = given.maps["edges"]
    constant = (targets.median(0).values - targets).abs().mean()
    assert (logits.argmax(1) == given.y).float().mean() > 0.75
    assert (maps["edges"] - targets).abs().mean() < 0.8 * constant


def test_a_loss_of_ones_own_sees_the_classifier_alone() -> None:
    model, pool = build(), Pool(DIGITS.train, torch.arange(40), encoding=DIGITS.encoding)
    before = [value.clone() for value in model.heads.parameters()]
    recipe = structure_block(Train, {"steps": 2, "batch_size": 20})
    fit(model, pool, recipe, generator=lambda purpose: generator("here", purpose), loss=plain)
    assert all(map(torch.equal, before, model.heads.parameters()))


@pytest.mark.parametrize(
    ("settings", "setting", "what"),
    [
        ({"tasks": ["edge"]}, "tasks", "did you mean 'edges'"),
        ({"class_weight": 0, "task_weight": 0}, "task_weight", "above 0"),
        ({"trunk": "lenet5"}, "trunk", "28x28 or 32x32"),
        ({"trunk": {"name": "gpt2"}}, "trunk", "gives no logits of images"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_runs(
    settings: dict[str, object], setting: str, what: str
) -> None:
    use = structure_use("models", {"name": "multi_task", "trunk": TRUNK, **settings})
    facts = Facts(DIGITS.encoding, 10, train=100, test=100)
    found = list(get("models", "multi_task").traits.check(use.settings, facts))
    assert [misfit.setting for misfit in found] == [setting]
    assert what in found[0].what


def test_a_trunk_without_maps_is_refused() -> None:
    with pytest.raises(HarnessError, match="needs a trunk of convolutions"):
        build(trunk="mlp")


SPEC = (
    TINY.replace(
        "model: {name: small_cnn, widths: [8, 16]}",
        "model: {name: multi_task, width: 8, task_weight: {sweep: [0, 1]}, "
        "trunk: {name: small_cnn, widths: [8, 16]}}",
    )
    .replace("{sweep: [1.0, 0.5]}", "1.0")
    .replace("steps: 30", "steps: 6")
    .split("methods:")[0]
    + "methods: [none]\nmetrics: [clean_accuracy, multi_task_accuracy, task_error, "
    "{name: task_sharpness, snapshots: 2, samples: 8, iterations: 1}]\n"
)


def test_a_spec_measures_each_task_and_leaves_out_those_that_were_not_trained(
    cli: Cli, tmp_path: Any
) -> None:
    (tmp_path / "tasks.yaml").write_text(SPEC)
    done = cli("run", "tasks.yaml", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    results = read_results(next(tmp_path.glob("results/**/results.json")))
    rows = {row.cell["task_weight"]: row.metrics for row in results.rows}
    assert rows[1]["multi_task_accuracy"] == rows[1]["clean_accuracy"]
    assert 0.1 <= rows[1]["constant_accuracy"] < 0.3
    assert 0 < rows[1]["edges_constant_error"] < 1
    assert rows[1]["edges_error"] > 0
    assert {*rows[1]} - {*rows[0]} == {
        "multi_task_accuracy", "edges_error", "edges_constant_error", "sal_cosine",
        "sal_cosine_clean",
    }  # fmt: skip
    assert rows[0]["clean_accuracy"] >= 0
    assert "not in all cells" in done.stdout
    assert 0 < rows[1]["sal_cosine"] < 1 and 0 < rows[1]["sal_cosine_clean"] < 1
    [row] = [row for row in results.rows if row.cell["task_weight"] == 1]
    assert row.series["sal_point"] == (3, 6)
    assert sum(row.series["sal_cosine"]) / 2 == pytest.approx(rows[1]["sal_cosine"])


def alike(one: list[list[float]], other: list[list[float]], **changed: Any) -> dict[str, float]:
    """The metric of a network whose tasks have these SAL, the clean training with one's for both"""
    tables = {
        "corrupted class": one, "corrupted edges": other, "clean class": one, "clean edges": one,
    }  # fmt: skip

    def prepared(name: str, subset: str, of: str) -> dict[str, torch.Tensor]:
        return {"sal": torch.tensor(tables[of]), "steps": torch.arange(len(one))}

    use = structure_use("metrics", {"name": "task_sharpness"})
    evidence = SimpleNamespace(
        answers=SimpleNamespace(prepared=prepared),
        series={},
        model=lambda which: build(**changed),
    )
    found: dict[str, float] = get("metrics", use.name).function(evidence, use.settings)
    return found


def test_the_cosine_of_the_sharpness_of_two_tasks_is_over_the_layers_of_both() -> None:
    # the first layer is the class's own, the last the other task's: (3, 4) with (4, 3), then (0, 1)
    # with (2, 0): cosines 24/25 and 0
    one = [[9.0, 3.0, 4.0, 0.0], [7.0, 0.0, 1.0, 0.0]]
    other = [[0.0, 4.0, 3.0, 5.0], [0.0, 2.0, 0.0, 1.0]]
    found = alike(one, other)
    assert found["sal_cosine"] == pytest.approx(12 / 25)
    assert found["sal_cosine_clean"] == pytest.approx(1)
    assert alike(one, other, task_weight=0) == {}
