"""The parts of a training: parameter groups, class weights, seeds, threads."""

from __future__ import annotations

import hashlib
import os
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from harness.spec.blocks import Train
from harness.spec.structure import structure_block
from harness.training.length import Length, length_of
from harness.training.losses import balanced_weights
from harness.training.parameters import optimizer_of, with_lr
from harness.training.seeding import generator, seed, seeded_build
from harness.training.threads import MOST_THREADS, SMALL_STEP, threads_for


def recipe(**changes: object) -> Train:
    return structure_block(Train, {"steps": 3, **changes})


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("all_decay", [True, False])
def test_every_parameter_gets_the_decay_of_its_kind(name: str, all_decay: bool) -> None:
    net = network()
    train = recipe(optimizer={"name": name, "weight_decay": 0.3}, decay_norm_and_bias=all_decay)
    decay = {
        id(p): group["weight_decay"]
        for group in optimizer_of(net, train).param_groups
        for p in group["params"]
    }
    for key, p in net.named_parameters():
        matrix = key in ("0.weight", "3.weight")
        assert decay.pop(id(p)) == (0.3 if matrix or all_decay else 0.0), key
    assert decay == {}


def test_a_step_without_gradient_decays_what_should_be_decayed_and_nothing_else() -> None:
    net = network()
    nn.init.ones_(net[1].bias)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    sgd = {"name": "sgd", "lr": 0.5, "weight_decay": 0.1}
    optimizer = optimizer_of(net, recipe(optimizer=sgd, decay_norm_and_bias=False))
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for name, p in net.named_parameters():
        factor = 0.95 if name in ("0.weight", "3.weight") else 1.0
        torch.testing.assert_close(p.detach(), before[name] * factor)


def test_a_group_without_parameters_is_left_out() -> None:
    assert len(optimizer_of(nn.Linear(2, 2, bias=False), recipe()).param_groups) == 1


@pytest.mark.parametrize(
    ("written", "kind", "defaults"),
    [
        (
            {"name": "sgd", "lr": 0.3, "momentum": 0.7, "nesterov": True},
            torch.optim.SGD,
            {"lr": 0.3, "momentum": 0.7, "nesterov": True, "dampening": 0},
        ),
        (
            {"name": "adam", "lr": 0.3, "beta1": 0.5, "beta2": 0.6, "eps": 1e-3},
            torch.optim.Adam,
            {"lr": 0.3, "betas": (0.5, 0.6), "eps": 1e-3, "amsgrad": False},
        ),
        (
            {"name": "adamw", "lr": 0.3},
            torch.optim.AdamW,
            {"lr": 0.3, "betas": (0.9, 0.999), "eps": 1e-8},
        ),
    ],
)
def test_settings_reach_torchs_optimiser(written: dict, kind: type, defaults: dict) -> None:
    optimizer = optimizer_of(network(), recipe(optimizer=written))
    assert type(optimizer) is kind
    for group in optimizer.param_groups:
        assert {key: group[key] for key in defaults} == defaults


def test_another_rate_leaves_the_rest_of_the_recipe() -> None:
    train = recipe(optimizer={"name": "sgd", "lr": 0.3, "momentum": 0.1}, batch_size=7)
    found = with_lr(train, 0.01, steps=9)
    assert (found.optimizer.settings.lr, found.optimizer.settings.momentum) == (0.01, 0.1)
    assert (found.steps, found.batch_size) == (9, 7)
    assert with_lr(train, None) == train
    assert train.optimizer.settings.lr == 0.3


@given(st.lists(st.integers(0, 4), min_size=1, max_size=50))
def test_balanced_weights_give_each_class_that_is_there_the_same_sum(labels: list[int]) -> None:
    weights = balanced_weights(torch.tensor(labels), 6).tolist()
    for label in range(6):
        count = labels.count(label)
        if count:
            assert weights[label] * count == pytest.approx(len(labels) / 6, rel=1e-5)
        else:
            assert weights[label] == 0


@given(st.integers(1, 500), st.integers(1, 64), st.floats(0.01, 20))
def test_steps_of_epochs_are_the_batches_that_a_loop_counts(
    samples: int, size: int, epochs: float
) -> None:
    batches = len(range(0, samples, size))
    train = structure_block(Train, {"epochs": epochs, "batch_size": size})
    steps = max(1, round(epochs * batches))
    assert length_of(train, samples) == Length(steps, steps, batches)


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (4, 4), (8, 8), (64, 8)])
def test_large_steps_take_the_cores_there_are_up_to_eight(
    cores: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert threads_for(SMALL_STEP) == threads
    assert threads_for(SMALL_STEP - 1) == threads_for(0) == 1
    assert MOST_THREADS == 8


def test_threads_do_not_need_the_affinity_of_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    for cores, threads in ((3, 3), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        assert threads_for(1e12) == threads


def test_a_seed_is_the_first_63_bits_of_the_hash() -> None:
    hexadecimal = hashlib.sha256(b"key|purpose").hexdigest()
    bits = bin(int(hexadecimal, 16))[2:].zfill(256)
    assert seed("key", "purpose") == int(bits[:63], 2)


def test_a_stream_does_not_depend_on_what_was_drawn_elsewhere() -> None:
    first = torch.rand(3, generator=generator("a", "b"))
    torch.manual_seed(99)
    torch.rand(1000)
    assert torch.equal(torch.rand(3, generator=generator("a", "b")), first)


@pytest.mark.parametrize("fails", [False, True])
def test_building_leaves_every_global_generator_alone(fails: bool) -> None:
    def build() -> nn.Module:
        torch.rand(5)
        if fails:
            raise ValueError("no model")
        return nn.Linear(2, 2)

    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    if fails:
        with pytest.raises(ValueError, match="no model"):
            seeded_build(build, "key")
    else:
        seeded_build(build, "key")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]


def test_a_build_depends_on_its_key_alone() -> None:
    weights = []
    for key, noise in (("a", 1), ("a", 2), ("b", 1)):
        torch.manual_seed(noise)
        weights.append(seeded_build(lambda: nn.Linear(3, 3), key).weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
