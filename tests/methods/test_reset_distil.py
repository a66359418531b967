"""The challenge's sixth place, against its losses worked out sample by sample."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from methods.problem import build, everything, make_task, run
from methods.recorded import (
    changed,
    convolutional,
    recorded,
    resnet18,
    state,
    stopped_and_resumed,
    task_of,
)
from torch import nn

from conftest import TINY, Cli
from harness.methods.layers import head_of, layers_of
from harness.report.read import read_results

ONE_STEP = {"warmup_epochs": 1, "epochs": 1, "batch_size": 100}


def test_the_first_convolution_and_the_last_linear_layer_begin_anew_and_nothing_else() -> None:
    base = convolutional()
    task = task_of(base)
    fits = recorded(task, train=False)
    run("reset_distil", task, copy.deepcopy(base))
    assert changed(state(base), fits[0].before) == {"0.weight", "13.weight", "13.bias"}
    # torch's rule for both kinds of layer: uniform up to 1 / sqrt(inputs of a unit).
    for name, inputs in (("0.weight", 9), ("13.weight", 5), ("13.bias", 5)):
        anew = fits[0].before[name].abs()
        assert anew.max() <= 1 / math.sqrt(inputs)
    assert fits[0].before["0.weight"].abs().max() > 0.2


def test_in_the_challenges_network_these_are_conv1_and_fc() -> None:
    with torch.device("meta"):
        model = resnet18()
    assert next(iter(layers_of(model))) == "conv1"
    assert head_of(model) == "fc"


def softmax(logits: list[float], heat: float) -> list[float]:
    powers = [math.exp(z / heat) for z in logits]
    return [power / sum(powers) for power in powers]


def by_hand(student: nn.Module, teacher: nn.Module, x: torch.Tensor) -> tuple[float, float]:
    """KL(p || q) and H(p, q) at a temperature of 5, without its square."""
    kl = cross = 0.0
    for taught, found in zip(teacher(x).tolist(), student(x).tolist(), strict=True):
        p, q = softmax(taught, 5), softmax(found, 5)
        kl += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) / len(x)
        cross -= sum(a * math.log(b) for a, b in zip(p, q, strict=True)) / len(x)
    return kl, cross


def mlp(weights: dict[str, torch.Tensor]) -> nn.Module:
    model = build("base")
    model.load_state_dict(weights)
    return model


def test_the_warm_up_is_divergence_on_the_validation_set_at_its_own_rate() -> None:
    task = make_task()
    fits = recorded(task)
    run("reset_distil", task, **ONE_STEP)
    x, _ = everything(task.validation)
    student, first = mlp(fits[0].before), fits[0]
    kl, _ = by_hand(student, build("base"), x)
    assert task.fitted[0].losses == (pytest.approx(kl, abs=1e-6),)
    assert first.pool is task.validation
    # One step of SGD with weight decay, from the slope of the loss of one weight.
    name = "3.bias"
    moved, width = float(first.after[name][4] - first.before[name][4]), 1e-2
    slopes = []
    for sign in (1, -1):
        near = mlp(first.before)
        with torch.no_grad():
            dict(near.named_parameters())[name][4] += sign * width
        slopes.append(by_hand(near, build("base"), x)[0])
    slope = (slopes[0] - slopes[1]) / (2 * width)
    decay = 5e-4 * float(first.before[name][4])
    assert moved == pytest.approx(-9e-4 * (slope + decay), rel=1e-2)


def test_on_the_retain_set_distillation_counts_twice_beside_the_labels() -> None:
    task = make_task()
    fits = recorded(task)
    run("reset_distil", task, **ONE_STEP)
    x, y = everything(task.retain)
    student = mlp(fits[1].before)
    kl, cross = by_hand(student, build("base"), x)
    labels = sum(
        -math.log(softmax(z, 1)[c])
        for z, c in zip(student(x).tolist(), y.tolist(), strict=True)
    ) / len(y)  # fmt: skip
    assert task.fitted[1].losses == (pytest.approx(kl + cross + labels, rel=1e-4),)


def test_both_trainings_are_as_published() -> None:
    task = make_task()
    fits = recorded(task, train=False)
    run("reset_distil", task)
    assert [(f.train.epochs, f.lr, f.train.schedule.name) for f in fits] == [
        (3, 9e-4, "constant"), (3, 1e-3, "cosine"),
    ]  # fmt: skip
    for fit in fits:
        assert fit.train.optimizer.settings.momentum == 0.9
        assert fit.train.optimizer.settings.weight_decay == 5e-4
        assert fit.train.batch_size == 64
    assert fits[1].train.schedule.settings.per == "epoch"
    assert fits[1].pool is task.retain


def test_a_warm_up_on_some_classes_sees_no_others_and_one_of_no_epoch_none() -> None:
    task = make_task()
    fits = recorded(task, train=False)
    run("reset_distil", task, warmup_classes=[0, 1])
    labels = task.validation.targets
    assert fits[0].pool.targets.tolist() == [c for c in labels.tolist() if c in (0, 1)] != []
    task = make_task(sees=frozenset({"retain", "original weights"}))
    run("reset_distil", task, warmup_epochs=0, epochs=1)
    assert len(task.fitted) == 1


@pytest.mark.parametrize("steps", [2, 4])
def test_stopped_in_either_training_it_ends_with_the_same_bytes(steps: int, tmp_path: Path) -> None:
    settings = {"warmup_epochs": 3, "epochs": 2, "batch_size": 36}
    stopped_and_resumed("reset_distil", tmp_path, steps, **settings)


def test_every_sample_is_counted_for_the_teacher_too() -> None:
    task = make_task()
    run("reset_distil", task, warmup_epochs=2, epochs=1)
    assert task.watch.meter.backward_samples == 2 * 10 + 72
    assert task.watch.meter.forward_samples == 2 * (2 * 10 + 72)


def test_without_held_out_data_or_such_a_class_it_is_refused_with_its_line(
    cli: Cli, tmp_path: Path
) -> None:
    file = tmp_path / "spec.yaml"
    written = TINY.replace("  - none\n", "  - {name: reset_distil, warmup_classes: [0, 10]}\n")
    file.write_text(written.replace(", validation: 0.1", ""))
    done = cli("validate", file)
    assert done.returncode == 2
    assert "spec.yaml:14" in done.stdout + done.stderr
    assert "'reset_distil' sees held-out data; set data.validation" in done.stdout + done.stderr
    file.write_text(written)
    done = cli("validate", file)
    assert "found 10; the last class is 9" in done.stdout + done.stderr


def test_the_three_methods_that_redraw_layers_run_from_a_spec(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    head, _, _ = TINY.partition("forget:")
    file.write_text(
        head.replace("300", "120")
        + "forget: {set: corrupted, discovered: 0.5}\n"
        + "methods: [none, retrain, reset_distil, repeated_noise, layer_reinit_match]\n"
        + "metrics: [clean_accuracy, cost]\n"
    )
    done = cli("run", file, "--out", "out", "--jobs", 1, "--set", "train.steps=5")
    assert done.returncode == 0, done.stderr
    rows = {row.method: row for row in read_results(tmp_path / "out").rows}
    for method in ("reset_distil", "repeated_noise", "layer_reinit_match"):
        accuracy = rows[method].metrics["clean_accuracy"]
        assert accuracy is not None and 0 <= accuracy <= 1
