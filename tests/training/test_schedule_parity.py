"""Schedules against torch's own and against numbers worked by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from harness.components import get, load
from harness.spec.structure import structure_use


def factors(name: str, total: int, epoch: int = 4, **chosen: object) -> list[float]:
    use = structure_use("schedules", {"name": name, **chosen})
    function = get("schedules", name).function
    return [function(use.settings, step, total, epoch) for step in range(total)]


def torchs(total: int, make: Callable[[torch.optim.Optimizer], Any]) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule, rates = make(optimizer), []
    for step in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step + 1 < total:
            schedule.step()
    return rates


@settings(max_examples=60)
@given(
    st.integers(2, 60),
    st.floats(0.05, 0.95),
    st.sampled_from(["cosine", "linear"]),
    st.floats(1, 100),
    st.floats(1, 1e5),
)
def test_one_cycle_is_torchs_for_every_rise_and_divisor(
    total: int, rise: float, shape: str, start: float, end: float
) -> None:
    peak = rise * total - 1
    assume(abs(peak) > 1e-6 and total - 1 - peak > 1e-6)  # torch divides by these
    expected = torchs(
        total,
        lambda o: lr_scheduler.OneCycleLR(
            o, 1.0, total_steps=total, pct_start=rise, div_factor=start, final_div_factor=end,
            anneal_strategy="cos" if shape == "cosine" else "linear",
        ),
    )  # fmt: skip
    found = factors(
        "one_cycle", total, rise=rise, shape=shape, start_divisor=start, end_divisor=end
    )
    assert found == pytest.approx(expected, abs=1e-9)


def test_one_cycle_ends_at_its_last_step_on_the_final_rate() -> None:
    found = factors("one_cycle", 50, start_divisor=10, end_divisor=100)
    assert found[0] == pytest.approx(0.1)
    assert max(found) == found[14] == pytest.approx(1.0)
    assert found[-1] == pytest.approx(0.001)


@given(st.integers(1, 60), st.floats(0, 0.9))
def test_cosine_is_torchs_annealing_down_to_the_floor(total: int, floor: float) -> None:
    expected = torchs(total, lambda o: lr_scheduler.CosineAnnealingLR(o, total, eta_min=floor))
    assert factors("cosine", total, floor=floor) == pytest.approx(expected, abs=1e-9)


def test_cosine_after_a_warm_up_is_worked_by_hand() -> None:
    found = factors("cosine", 10, warmup=0.4, floor=0.2)
    assert found[:4] == pytest.approx([1 / 5, 2 / 5, 3 / 5, 4 / 5])
    fall = [0.2 + 0.8 * (1 + math.cos(math.pi * k / 6)) / 2 for k in range(6)]
    assert found[4:] == pytest.approx(fall)
    assert found[4] == 1.0
    assert found[7] == pytest.approx(0.6)  # half way


@given(
    st.integers(2, 60),
    st.lists(st.floats(0.05, 0.95), min_size=1, max_size=4),
    st.floats(0.05, 0.9),
)
def test_step_is_torchs_multistep(total: int, shares: list[float], gamma: float) -> None:
    places = [round(share * total) for share in shares]
    # MultiStepLR never looks at step 0: its rate is the peak's.
    assume(min(places) > 0)
    expected = torchs(total, lambda o: lr_scheduler.MultiStepLR(o, places, gamma))
    assert factors("step", total, milestones=shares, gamma=gamma) == pytest.approx(expected)


@pytest.mark.parametrize(("warm", "total"), [(0, 20), (1, 20), (5, 20), (12, 20)])
def test_linear_warms_up_by_s_plus_1_over_w_plus_1_and_then_falls(warm: int, total: int) -> None:
    found = factors("linear", total, warmup=(warm + 0.5) / total, stretch=1.5)
    for step in range(total):
        rising, falling = (step + 1) / (warm + 1), 1 - (step - warm) / (1.5 * total)
        assert found[step] == pytest.approx(rising if step < warm else falling)
    assert max(found) == found[warm] == 1.0


def test_a_fall_that_is_not_stretched_reaches_zero_after_the_last_step() -> None:
    assert factors("linear", 8) == pytest.approx([1 - k / 8 for k in range(8)])


@pytest.mark.parametrize("name", ["step", "cosine", "one_cycle", "linear"])
def test_per_epoch_repeats_the_factor_of_each_epochs_first_step(name: str) -> None:
    steps = factors(name, 14, epoch=4)
    found = factors(name, 14, epoch=4, per="epoch")
    assert found == [steps[step - step % 4] for step in range(14)]


@pytest.mark.parametrize("name", sorted(load("schedules")))
@given(total=st.integers(1, 40), epoch=st.integers(1, 10))
def test_no_factor_is_negative_or_above_the_peak(name: str, total: int, epoch: int) -> None:
    for factor in factors(name, total, epoch):
        assert 0 <= factor <= 1 + 1e-12


def test_the_extra_step_of_published_code_ends_at_a_fifth_of_the_peak() -> None:
    # Protocol section 4: 4,001 steps for 4,000, the last at 20.8 % of the peak.
    from harness.spec.blocks import Train
    from harness.spec.structure import structure_block
    from harness.training.length import Length, length_of

    plain = {"steps": 4000, "batch_size": 512, "schedule": {"name": "linear", "warmup": 0.01,
                                                           "stretch": 1.25}}  # fmt: skip
    assert length_of(structure_block(Train, plain), 50_000) == Length(4000, 4000, 98)
    train = structure_block(Train, {**plain, "extra_step": True})
    assert length_of(train, 50_000) == Length(4000, 4001, 98)
    factor = get("schedules", "linear").function
    assert round(factor(train.schedule.settings, 4000, 4000, 98), 3) == 0.208
