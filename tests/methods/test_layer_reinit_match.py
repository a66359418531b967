"""The challenge's eighth place: what is drawn anew, and whose logits are matched on what."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from methods.problem import EVERYTHING, build, everything, make_task, run
from methods.recorded import (
    Fit,
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
from harness.errors import HarnessError
from harness.methods.layer_reinit_match import LayerReinitMatch, _units

SECOND = {"cycles": [2, 1, 1, 1], "rates": [5e-4, 1e-3, 1e-3, 1e-3, 1e-3]}


def fits_of(model: nn.Module, *, train: bool = True, **settings: object) -> list[Fit]:
    task = task_of(model)
    fits = recorded(task, train=train)
    run("layer_reinit_match", task, copy.deepcopy(model), **settings)
    return fits


def anew(model: nn.Module, fits: list[Fit]) -> list[set[str]]:
    """What changes before each training."""
    befores = [state(model), *(fit.after for fit in fits)]
    return [changed(a, fit.before) for a, fit in zip(befores, fits, strict=False)]


@pytest.mark.parametrize(
    ("settings", "begins", "rates"),
    [
        ({}, [0, 1, 3], [1e-3, 1e-3, 5e-4, 1e-3, 5e-4]),
        (SECOND, [0, 2, 3, 4], [5e-4, 1e-3, 1e-3, 1e-3, 1e-3]),
    ],
)
def test_layers_begin_anew_where_a_cycle_does(
    settings: dict[str, Any], begins: list[int], rates: list[float]
) -> None:
    base = convolutional()
    fits = fits_of(base, train=False, **settings)
    assert [i for i, names in enumerate(anew(base, fits)) if names] == begins
    assert [fit.lr for fit in fits] == rates
    for fit in fits:
        assert (fit.train.epochs, fit.train.batch_size) == (1, 64)
        assert fit.train.schedule.name == "constant"
        assert fit.train.optimizer.settings.weight_decay == 5e-4
        assert fit.trained == set(state(base))


def test_in_the_challenges_network_neither_head_nor_shortcuts_may_be_drawn() -> None:
    with torch.device("meta"):
        model = resnet18()
    names = {id(module): name for name, module in model.named_modules()}

    def drawable(**settings: object) -> set[str]:
        units = _units(model, LayerReinitMatch(**settings))
        return {".".join(filter(None, (names[id(module)], tensor))) for module, tensor in units}

    layers, tensors = drawable(), drawable(drawn="tensors")
    assert len(layers) == 17  # the stem, and two convolutions in each of eight blocks
    assert len(tensors) == 3 * 17  # each with the weight and the bias of a BatchNorm
    assert not [name for name in layers | tensors if "fc" in name or "downsample" in name]
    assert len(drawable(spared="head")) == 20
    assert drawable(spared="none") - drawable(spared="head") == {"fc"}
    assert len(drawable(drawn="tensors", spared="none")) == 62


def test_layers_are_drawn_with_replacement_and_anew_for_each_cycle() -> None:
    base = convolutional()
    fits = fits_of(base, train=False, cycles=[1] * 20, rates=[1e-3] * 20, layers=3)
    drawn = anew(base, fits)
    assert set().union(*drawn) == {"0.weight", "4.weight", "8.weight"}
    assert {len(names) for names in drawn} == {1, 2, 3}


def test_a_tensor_alone_begins_anew_by_the_rule_of_its_layer() -> None:
    base = convolutional()
    with torch.no_grad():
        for weight in base.parameters():
            weight.fill_(7.0)
    fits = fits_of(base, train=False, drawn="tensors", layers=60, spared="none")
    fresh = fits[0].before
    assert set(fresh) == anew(base, fits)[0]
    assert fresh["1.weight"].tolist() == [1.0] * 4 and fresh["1.bias"].tolist() == [0.0] * 4
    assert fresh["4.weight"].abs().max() <= 1 / 6  # of 4 * 9 inputs


def test_a_student_equal_to_the_original_has_no_loss_for_both_see_the_same_noise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.methods.layer_reinit_match.reset", lambda *a, **b: None)
    task = make_task()
    run("layer_reinit_match", task, noise=0.5, weight_decay=0.0)
    assert [loss for fit in task.fitted for loss in fit.losses] == [0.0] * 10


def test_the_loss_is_the_mean_square_over_samples_and_classes() -> None:
    task = make_task()
    fits = recorded(task)
    run("layer_reinit_match", task, noise=0.0, batch_size=72, cycles=[1], rates=[1e-3])
    student = build("base")
    student.load_state_dict(fits[0].before)
    x, _ = everything(task.retain)
    squares = [
        (a - b) ** 2
        for mine, its in zip(student(x).tolist(), build("base")(x).tolist(), strict=True)
        for a, b in zip(mine, its, strict=True)
    ]
    assert len(squares) == 720
    assert task.fitted[0].losses == (pytest.approx(sum(squares) / 720, rel=1e-4),)
    assert task.watch.meter.as_dict() == {"forward": 144, "backward": 72, "steps": 1}


def test_inputs_get_noise_of_the_deviation_that_is_said_while_it_trains() -> None:
    inputs: dict[float, list[torch.Tensor]] = {0.0: [], 0.1: []}
    for noise, seen in inputs.items():
        model = build("base")
        model[0].register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0]))
        found = run("layer_reinit_match", make_task(), model, noise=noise)
        x = torch.zeros(1, 1, 8, 8)
        assert torch.equal(found(x), found(x))
        assert torch.equal(seen[-1], x)
    added = [a - b for a, b in zip(inputs[0.1], inputs[0.0], strict=True)][:-2]
    assert all(float(noise.std()) == pytest.approx(0.1, rel=0.05) for noise in added)
    assert len({float(noise.sum()) for noise in added}) == len(added)  # drawn anew each time


def test_it_may_match_on_the_forget_set_and_else_does_not_read_it() -> None:
    for on in ("retain", "forget"):
        task = make_task(sees=EVERYTHING - {"retain", "forget", "validation"} | {on})
        fits = recorded(task, train=False)
        run("layer_reinit_match", task, match_on=on)
        assert {id(fit.pool) for fit in fits} == {id(getattr(task, on))}


def test_a_model_without_a_layer_to_draw_is_told_so() -> None:
    from methods.recorded import model_of

    with pytest.raises(HarnessError, match="no layer that may be drawn"):
        fits_of(model_of("mlp", hidden=[]), train=False)


@pytest.mark.parametrize("steps", [1, 5])
def test_stopped_in_any_cycle_it_ends_with_the_same_bytes(steps: int, tmp_path: Path) -> None:
    settings = {"cycles": [1, 1], "rates": [1e-3, 1e-3], "batch_size": 24, "noise": 0.1}
    stopped_and_resumed("layer_reinit_match", tmp_path, steps, **settings)


def test_rates_that_are_not_one_an_epoch_are_refused_with_their_line(
    cli: Cli, tmp_path: Path
) -> None:
    file = tmp_path / "spec.yaml"
    wrong = "  - {name: layer_reinit_match, cycles: [2, 1, 1, 1], rates: [1e-3]}\n"
    file.write_text(TINY.replace("  - none\n", wrong))
    done = cli("validate", file)
    assert done.returncode == 2
    assert "spec.yaml:14" in done.stdout + done.stderr
    assert "found 1 rates for 5 epochs of cycles" in done.stdout + done.stderr
