"""The challenge's forgetting score, against a slow version written from its pseudocode."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import TINY, Cli
from harness.components import get
from harness.errors import HarnessError
from harness.metrics.forgetting import (
    INDEPENDENT,
    _below,
    confidence,
    epsilon,
    points,
    quality,
)


def rates(u: Any, r: Any, per_unit: int) -> Iterator[tuple[float, float]]:
    """False positives and false negatives of every rule, one by one."""
    pos, neg = (r, u) if np.median(r) > np.median(u) else (u, r)
    low, high = min(*pos, *neg), max(*pos, *neg)
    for t in np.linspace(low, high, math.ceil(100 * (high - low))):
        yield sum(neg >= t) / len(neg), sum(pos < t) / len(pos)
    a, b = (neg, pos) if np.ptp(neg) <= np.ptp(pos) else (pos, neg)
    width = max(a) - min(a)
    for top in np.linspace(max(a) - 2, max(a) + 2, per_unit * 4):
        for start in np.linspace(top - width - 2, top - width + 2, per_unit * 4):
            inside = [np.sum((start <= side) & (side <= top)) for side in (a, b)]
            yield inside[1] / len(b), 1 - inside[0] / len(a)


def slow(u: Any, r: Any, per_unit: int = 100) -> float:
    ranges = sorted([np.ptp(u), np.ptp(r)])
    if ranges[1] == 0 or ranges[0] / ranges[1] < 0.01:
        return 50.0
    found = []
    for fpr, fnr in rates(u, r, per_unit):
        if fpr == fnr == 0:
            found.append(math.inf)
        elif fpr > 0 and fnr > 0:
            terms = [0.0]
            for one, other in ((fpr, fnr), (fnr, fpr)):
                if 1 - 1e-5 - one > 0:
                    terms.append(math.log(1 - 1e-5 - one) - math.log(other))
            found.append(max(terms))
    return min(max(found, default=math.inf), 50.0)


def drawn(seed: int, models: int, shift: float, spread: float) -> tuple[Any, Any]:
    draw = np.random.default_rng(seed)
    return draw.normal(3 + shift, spread, models), draw.normal(3, 1, models)


@pytest.mark.parametrize(
    ("seed", "models", "shift", "spread"),
    [(0, 8, 0.0, 1.0), (1, 12, 0.8, 1.0), (2, 12, 0.0, 2.5), (3, 9, -1.0, 0.3), (4, 8, 30.0, 1.0)],
)
def test_epsilon_is_that_of_every_rule_counted_one_by_one(
    seed: int, models: int, shift: float, spread: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.metrics.forgetting.THRESHOLDS", 80)  # the slow one takes seconds
    u, r = drawn(seed, models, shift, spread)
    assert epsilon(u, r) == pytest.approx(slow(u, r, per_unit=20), abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_epsilon_on_the_published_grid(seed: int) -> None:
    u, r = drawn(seed, 32, 0.2 * seed, 1 + 0.1 * seed)
    assert epsilon(u, r) == pytest.approx(slow(u, r), abs=1e-12)


def test_two_samples_by_hand() -> None:
    """The best usable rule errs on one of four on either side; those without a miss do not count."""
    u = np.array([0.0, 1.0, 2.0, 3.0])
    r = np.array([0.5, 10.0, 11.0, 12.0])
    assert epsilon(u, r) == pytest.approx(math.log(0.75 - 1e-5) - math.log(0.25))
    assert points(np.array([0.0, 0.49, 0.5, 1.2, 6.4, 6.5, math.inf]), 13).tolist() == [
        1, 1, 0.5, 0.25, 2**-12, 0, 0,
    ]  # fmt: skip


@given(
    st.lists(st.floats(-30, 30), min_size=2, max_size=12),
    st.lists(st.floats(-30, 30), min_size=2, max_size=12),
)
def test_epsilon_has_its_bounds_and_does_not_ask_which_side_is_which(
    u: list[float], r: list[float]
) -> None:
    found = epsilon(np.array(u), np.array(r))
    assert 0 <= found <= 50
    if len(u) == len(r) and np.ptp(u) != np.ptp(r) and np.median(u) != np.median(r):
        assert epsilon(np.array(r), np.array(u)) == found


def test_samples_that_never_vary_and_those_far_apart_are_worst() -> None:
    same, spread = np.full(16, 3.0), np.linspace(2, 4, 16)
    assert epsilon(same, spread) == 50  # one range is under a hundredth of the other
    assert epsilon(same, same) == 50
    assert epsilon(spread, spread + 100) == 50  # told apart without an error
    assert points(np.array([50.0]), 13).tolist() == [0]


def test_the_same_models_on_both_sides_are_indistinguishable() -> None:
    same = np.random.default_rng(1).normal(3, 1, (24, 5))
    assert quality(same, same[::-1].copy(), 13) == 1


def test_a_range_under_a_hundredth_of_the_other_is_worst_and_one_above_is_not() -> None:
    wide = np.linspace(0, 4, 400)  # so dense that no interval leaves all of it out
    assert epsilon(2 + wide * 0.0099, wide) == epsilon(wide, 2 + wide * 0.0099) == 50
    assert epsilon(2 + wide * 0.0101, wide) < 50


def test_where_no_rule_of_the_grid_errs_on_both_sides_the_sample_counts_as_worst(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All confidences lie so close together that every rule takes all of them, or none."""
    monkeypatch.setattr("harness.metrics.forgetting.THRESHOLDS", 80)
    u = 2.0 + 2.0**-16 * np.array([0, 1, 2, 3, 4, 5, 6, 8])
    r = 2.0 + 2.0**-16 * np.array([1.5, 1, 2, 3, 4, 5, 6, 7])
    assert not [1 for fpr, fnr in rates(u, r, 20) if (fpr and fnr) or fpr == fnr]
    assert epsilon(u, r) == slow(u, r, 20) == 50


@pytest.mark.parametrize(("models", "samples"), [(32, 40), (128, 40), (512, 40)])
def test_identical_distributions_get_the_null_ceiling_and_not_1(models: int, samples: int) -> None:
    draw = np.random.default_rng(7)
    sides = draw.normal(3, 1, (2, models, samples))
    assert 0.14 < quality(*sides, 13) < 0.23


@pytest.mark.parametrize(
    ("models", "shift", "spread", "expected"),
    [(64, 0.5, 1, 0.106), (64, 1, 1, 0.043), (256, 1, 1, 0.023), (64, 0, 1.5, 0.06),
     (64, 0, 0.5, 0.026)],
)  # fmt: skip
def test_what_the_score_punishes_and_that_it_falls_with_the_number_of_models(
    models: int, shift: float, spread: float, expected: float
) -> None:
    """Values that were measured apart, with other code and draws, from 150 to 300 samples."""
    draw = np.random.default_rng(3)
    u, r = draw.normal(3 + shift, spread, (models, 60)), draw.normal(3, 1, (models, 60))
    assert quality(u, r, 13) == pytest.approx(expected, abs=0.006 + 0.12 * expected)


def test_starts_that_fall_on_a_confidence_are_counted_like_all_others() -> None:
    """Fast counting looks up each start on its own only where a confidence is as near as rounding;
    there, and everywhere else, it gives what one search for each start gives."""
    for seed in range(40):
        draw = np.random.default_rng(seed)
        top = draw.normal()
        ends = np.linspace(top - 2, top + 2, 400)
        starts = np.linspace(ends - 3, ends + 1, 400)
        on_grid = starts[draw.integers(400, size=30), draw.integers(400, size=30)]
        merged = np.sort(np.concatenate([draw.normal(top, 1, 30), on_grid]))
        assert np.array_equal(_below(merged, starts), merged.searchsorted(starts))


def test_memory_is_bounded_however_many_samples_there_are() -> None:
    sides = np.random.default_rng(0).normal(3, 1, (2, 32, 24))
    peaks = []
    for samples in (1, 1, 24):
        few = sides[:, :, :samples]
        tracemalloc.start()
        quality(*few, 13)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.05 * peaks[1]


def test_the_confidence_is_the_log_odds_of_the_label() -> None:
    logits = torch.tensor([[[2.0, 0.0, -1.0], [0.0, 5.0, 20.0]]])
    found = confidence(logits, torch.tensor([0, 2]))
    assert found[0, 0] == pytest.approx(2 - math.log(1 + math.exp(-1)))
    assert found[0, 1] == pytest.approx(15 - math.log(1 + math.exp(-5)))
    assert np.isfinite(confidence(torch.tensor([[[1e4, 0.0]]]), torch.tensor([1]))).all()


class Given:
    """Populations with these logits on all splits."""

    exact = False

    def __init__(self, cost: float = 0.1, **logits: torch.Tensor) -> None:
        self.logits, self.cost = logits, cost
        self.series: dict[str, list[float]] = {}
        self.rejected = ""

    def work(self, name: str = "unlearned") -> float:
        return 300 * self.cost if name == "unlearned" else 300

    def each(self, split: str, name: str) -> Iterator[torch.Tensor]:
        return iter(self.logits[name.partition("+")[0]])

    def targets(self, split: str) -> torch.Tensor:
        return torch.zeros(self.logits["retrained"].shape[1], dtype=torch.int64)

    def generator(self, purpose: str) -> torch.Generator:
        return torch.Generator().manual_seed(3)


def test_the_score_is_f_times_both_accuracy_ratios_with_an_interval_around_it() -> None:
    metric = get("metrics", "forgetting_quality")
    noise = torch.Generator().manual_seed(0)
    retrained = torch.randn(8, 12, 2, generator=noise) + torch.tensor([1.0, 0.0])
    unlearned = torch.randn(8, 12, 2, generator=noise) + torch.tensor([0.7, 0.0])
    found = metric.function(
        Given(unlearned=unlearned, retrained=retrained), metric.settings(resamples=3)
    )
    right = [float((side.argmax(2) == 0).double().mean()) for side in (unlearned, retrained)]
    f = found["forgetting_quality"]
    assert found["unlearning_score"] == pytest.approx(f * (right[0] / right[1]) ** 2)
    assert found["unlearning_score_low"] < found["unlearning_score"]
    assert found["unlearning_score"] < found["unlearning_score_high"]
    assert metric.traits.requests(metric.settings())[1].offset == INDEPENDENT


def test_too_few_models_are_refused() -> None:
    metric = get("metrics", "forgetting_quality")
    few = torch.randn(3, 5, 2)
    with pytest.raises(HarnessError, match="needs 4 models on each side; found 3"):
        metric.function(Given(unlearned=few, retrained=few), metric.settings())


def models(seed: int, *shift: float) -> torch.Tensor:
    """Logits float32 [8, 12, 2] of models that differ."""
    noise = torch.Generator().manual_seed(seed)
    return torch.randn(8, 12, 2, generator=noise) + torch.tensor(shift)


def test_a_method_over_the_cost_limit_is_rejected_with_a_score_of_0_and_retraining_is_not() -> None:
    metric = get("metrics", "forgetting_quality")
    sides = {"unlearned": models(0, 1.0, 0.0), "retrained": models(1, 1.0, 0.0)}
    limited = metric.settings(resamples=2, max_cost=0.2)
    dear, cheap, retrain = Given(0.25, **sides), Given(0.2, **sides), Given(1.0, **sides)
    retrain.exact = True
    found = metric.function(dear, limited)
    assert dear.rejected == "it costs 0.25 of retraining, and 0.2 is allowed"
    assert found["unlearning_score"] == found["unlearning_score_high"] == 0
    assert found["forgetting_quality"] > 0
    assert found["share_of_retraining"] == 0.25
    for accepted in (cheap, retrain):
        assert metric.function(accepted, limited)["unlearning_score"] > 0
        assert not accepted.rejected


def test_the_histogram_counts_every_sample_once_and_agrees_with_the_points() -> None:
    metric = get("metrics", "forgetting_quality")
    given = Given(unlearned=models(0, 3.0, 0.0), retrained=models(1, 0.0, 0.0))
    found = metric.function(given, metric.settings(resamples=2))
    begins, shares = given.series["epsilon"], given.series["epsilon_share"]
    assert (begins[:3], begins[-1], len(begins)) == ([0.0, 0.5, 1.0], 6.5, 14)
    assert sum(shares) == pytest.approx(1)
    worth = [0.5**place for place in range(13)] + [0]  # beyond the last bin: nothing
    assert sum(map(np.multiply, shares, worth)) == pytest.approx(found["forgetting_quality"])


def test_retain_accuracy_is_read_from_a_sample_of_fixed_size_where_that_is_asked_for() -> None:
    traits, settings = (
        getattr(get("metrics", "forgetting_quality"), n) for n in ("traits", "settings")
    )
    assert traits.reads(settings()) == ("forget", "retain", "test")
    assert traits.reads(settings(retain_samples=500)) == ("forget", "retain:500", "test")


def test_bins_by_models_go_further_only_where_finite_epsilons_do() -> None:
    """Of 700 models one is on the wrong side of either cut: ln(699) = 6.55 is beyond 13 bins, and
    in the last of 2 ceil(ln 699)."""
    metric = get("metrics", "forgetting_quality")
    odds = {"unlearned": torch.linspace(0, 0.5, 700), "retrained": torch.linspace(9, 9.5, 700)}
    odds["unlearned"][0], odds["retrained"][0] = 9.2, 0.2
    logits = {name: torch.stack([z, torch.zeros(700)], 1)[:, None] for name, z in odds.items()}
    found = {
        bins: metric.function(Given(**logits), metric.settings(bins=bins, resamples=2))
        for bins in ("published", "by_models")
    }
    assert found["published"]["forgetting_quality"] == 0
    assert found["by_models"]["forgetting_quality"] == 2**-13


def test_without_the_row_of_training_again_the_score_is_refused_with_its_line(
    cli: Cli, tmp_path: Path
) -> None:
    file = tmp_path / "spec.yaml"
    text = TINY.replace("[clean_accuracy, ", "[forgetting_quality, clean_accuracy, ")
    file.write_text(text.replace("  - retrain\n", ""))
    done = cli("validate", file)
    assert done.returncode == 2
    assert "'forgetting_quality' is read beside the row of training again" in done.stderr
    file.write_text(text)
    assert "read beside" not in cli("validate", file).stderr
