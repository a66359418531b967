"""Corruptions against hand-made ones."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.components import NoSettings, get
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption
from harness.data.datasets.images import CIFAR
from harness.data.types import DataRoot
from harness.errors import HarnessError
from harness.spec.structure import structure_use

DIGITS = get("datasets", "digits").function(NoSettings(), DataRoot(None, offline=True))
ROWS = torch.arange(0, 1400, 2)


def corrupt(name: str, **chosen: object) -> Corruption:
    use = structure_use("corruptions", {"name": name, **chosen})
    task = CorruptionTask(corruption=name, rows=ROWS, dataset=DIGITS, seed="4")
    return get("corruptions", name).function(DIGITS.train, use.settings, task)


@pytest.mark.parametrize("place", ["top_left", "top_right", "bottom_left", "bottom_right"])
def test_badnet_stamps_the_corner_as_a_loop_over_pixels_does(place: str) -> None:
    found = corrupt("badnet", patch=2, place=place, count=20, target_class=3, value=0.5)
    expected = DIGITS.train.inputs[found.rows].numpy().copy()
    rows = range(2) if place.startswith("top") else range(6, 8)
    columns = range(2) if place.endswith("left") else range(6, 8)
    for image in expected:
        for row in rows:
            for column in columns:
                image[0, row, column] = 128
    assert found.inputs is not None
    np.testing.assert_array_equal(found.inputs.numpy(), expected)
    assert found.targets.tolist() == [3] * 20
    assert set(found.rows.tolist()) <= set(ROWS.tolist())


def test_badnet_after_normalisation_stamps_the_normalised_value() -> None:
    use = structure_use("corruptions", {"name": "badnet", "patch": 1, "count": 5,
                                        "when": "after_normalisation", "white": "largest"})  # fmt: skip
    colours = attrs.evolve(DIGITS, encoding=CIFAR)
    trigger = get("corruptions", "badnet").traits.trigger(use.settings, colours)
    shown = trigger(torch.zeros(1, 3, 4, 4))
    # The largest normalised white of CIFAR-10's channels, as in the published code: 2.12649.
    assert shown[0, :, 3, 3].tolist() == pytest.approx([2.1264887] * 3, abs=1e-6)
    assert shown.count_nonzero() == 3
    assert corrupt("badnet", patch=1, count=5, when="after_normalisation").inputs is None


def test_badnet_draws_from_the_named_classes_and_can_leave_out_the_target() -> None:
    labels = DIGITS.train.targets
    assert set(labels[corrupt("badnet", count=40, classes=[3, 5]).rows].tolist()) == {3, 5}
    clean = corrupt("badnet", count=300, include_target=False)
    assert 0 not in labels[clean.rows]
    assert 0 in labels[corrupt("badnet", count=300).rows]


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"count": 5, "target_class": 10}, "class 10 does not exist"),
        ({"count": 5, "classes": [11]}, "class 11 does not exist"),
        ({"count": 5000}, "only 700 can be"),
        ({"count": 5, "patch": 9}, "9 pixels does not fit"),
        ({}, "exactly one of 'share' and 'count'"),
        ({"share": 0.1, "count": 5}, "exactly one of 'share' and 'count'"),
        ({"share": 1e-9}, "no sample"),
    ],
)
def test_an_impossible_poison_is_refused(chosen: dict, words: str) -> None:
    with pytest.raises(HarnessError, match=words):
        corrupt("badnet", **chosen)


@settings(max_examples=25)
@given(st.integers(1, 60), st.integers(1, 60))
def test_a_smaller_amount_is_part_of_a_larger_one(a: int, b: int) -> None:
    small, large = sorted((2 * a, 2 * b))
    for name, more in (("badnet", {}), ("label_noise", {}), ("class_swap", {"classes": [3, 5]})):
        inner, outer = (corrupt(name, count=n, **more) for n in (small, large))
        pairs = [
            dict(zip(c.rows.tolist(), c.targets.tolist(), strict=True)) for c in (inner, outer)
        ]
        assert pairs[0].items() <= pairs[1].items(), name
        assert inner.rows.tolist() == sorted(inner.rows.tolist())


def test_label_noise_gives_a_wrong_label_each_as_often() -> None:
    found = corrupt("label_noise", share=1.0)
    shift = (found.targets - DIGITS.train.targets[found.rows]) % 10
    counts = torch.bincount(shift, minlength=10)
    assert counts[0] == 0
    assert counts[1:].min() > 45


def test_class_swap_exchanges_as_many_labels_both_ways() -> None:
    found = corrupt("class_swap", classes=[3, 5], count=60)
    before = DIGITS.train.targets[found.rows]
    assert sorted(before.tolist()) == [3] * 30 + [5] * 30
    assert ((before == 3) == (found.targets == 5)).all()
    with pytest.raises(HarnessError, match="two different classes"):
        corrupt("class_swap", classes=[3, 3], count=2)


def test_no_corruption_touches_nothing() -> None:
    assert len(corrupt("none").rows) == 0
