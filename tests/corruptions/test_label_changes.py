"""Label noise, permuted labels and swapped classes, as properties over many draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.components import get
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption, amount, draw
from harness.data.encodings import Images
from harness.data.types import Dataset, Split, dataset
from harness.errors import HarnessError
from harness.spec.structure import structure_use

ENCODING = Images((1, 2, 2), mean=(0.5,), std=(0.5,))


def labelled(labels: list[int], classes: int) -> Dataset:
    inputs = torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8)
    split = Split(inputs, torch.tensor(labels))
    names = tuple(map(str, range(classes)))
    return dataset("labelled", split, split, names, ENCODING, "here")


def corrupt(name: str, data: Dataset, seed: int = 0, **chosen: object) -> Corruption:
    use = structure_use("corruptions", {"name": name, **chosen})
    rows = torch.arange(len(data.train.targets))
    task = CorruptionTask(corruption=name, rows=rows, dataset=data, seed=str(seed))
    return get("corruptions", name).function(data.train, use.settings, task)


def pairs(found: Corruption) -> dict[int, int]:
    return dict(zip(found.rows.tolist(), found.targets.tolist(), strict=True))


@settings(max_examples=60)
@given(st.integers(2, 12), st.integers(1, 40), st.integers(0, 99))
def test_label_noise_never_gives_the_true_label_nor_an_unknown_one(
    classes: int, count: int, seed: int
) -> None:
    data = labelled([i % classes for i in range(40)], classes)
    found = pairs(corrupt("label_noise", data, seed, count=count))
    assert len(found) == count
    for row, label in found.items():
        assert label != row % classes
        assert 0 <= label < classes


def test_label_noise_with_two_classes_turns_every_label() -> None:
    data = labelled([0, 1, 1, 0], 2)
    assert pairs(corrupt("label_noise", data, share=1.0)) == {0: 1, 1: 0, 2: 0, 3: 1}


def test_every_wrong_label_is_as_likely() -> None:
    data = labelled([2] * 6000, 5)
    counts = torch.bincount(corrupt("label_noise", data, share=1.0).targets, minlength=5)
    assert counts[2] == 0
    # Binomial(6000, 1/4): 1500 with a standard deviation of 34.
    assert all(abs(int(counts[c]) - 1500) < 150 for c in (0, 1, 3, 4))


@settings(max_examples=60)
@given(st.lists(st.integers(0, 3), min_size=4, max_size=40), st.integers(0, 99), st.data())
def test_swapping_moves_as_many_labels_each_way(
    labels: list[int], seed: int, data: st.DataObject
) -> None:
    smaller = min(labels.count(1), labels.count(3))
    whole = labelled(labels, 4)
    if smaller == 0:
        with pytest.raises(HarnessError, match="only 0 can be"):
            corrupt("class_swap", whole, seed, classes=[1, 3], count=2)
        return
    half = data.draw(st.integers(1, smaller))
    found = pairs(corrupt("class_swap", whole, seed, classes=[1, 3], count=2 * half))
    changes = [(labels[row], label) for row, label in found.items()]
    assert sorted(changes) == [(1, 3)] * half + [(3, 1)] * half


def test_swapping_more_than_the_smaller_class_has_is_refused() -> None:
    data = labelled([0] * 10 + [1] * 3, 2)
    assert len(pairs(corrupt("class_swap", data, classes=[0, 1], count=6))) == 6
    with pytest.raises(HarnessError, match="7 samples are to be corrupted; only 6 can be"):
        corrupt("class_swap", data, classes=[0, 1], count=7)
    with pytest.raises(HarnessError, match="13 samples are to be corrupted; only 6 can be"):
        corrupt("class_swap", data, classes=[0, 1], share=1.0)


@pytest.mark.parametrize("classes", [[0, 0], [0, 2], [7, 1]])
def test_swapping_needs_two_classes_that_exist(classes: list[int]) -> None:
    with pytest.raises(HarnessError, match="two different classes are needed"):
        corrupt("class_swap", labelled([0, 1, 0, 1], 2), classes=classes, count=2)


@settings(max_examples=60)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 99))
def test_a_smaller_amount_changes_the_same_rows_to_the_same_labels(
    a: int, b: int, seed: int
) -> None:
    data = labelled([i % 3 for i in range(60)], 3)
    for name, more, unit in (("label_noise", {}, 1), ("class_swap", {"classes": [0, 2]}, 2)):
        inner, outer = (
            pairs(corrupt(name, data, seed, count=unit * n, **more)) for n in sorted((a, b))
        )
        assert inner.items() <= outer.items()


@given(st.integers(1, 30), st.integers(0, 99))
def test_a_draw_is_the_start_of_one_permutation(count: int, seed: int) -> None:
    rows = torch.arange(100, 130)
    found = draw(rows, count, torch.Generator().manual_seed(seed)).tolist()
    order = torch.randperm(30, generator=torch.Generator().manual_seed(seed)).tolist()
    assert found == [100 + place for place in order[:count]]


@pytest.mark.parametrize(
    ("share", "count", "expected"), [(0.5, None, 5), (None, 7, 7), (0.26, None, 3), (1.0, None, 10)]
)
def test_amounts_are_worked_by_hand(share: float | None, count: int | None, expected: int) -> None:
    assert amount(share, count, eligible=10, total=10) == expected


@settings(max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_permuting_gives_every_label_as_often_as_before(a: int, b: int, seed: int) -> None:
    data = labelled([i * i % 7 for i in range(40)], 7)
    labels = data.train.targets
    inner, outer = (corrupt("label_permutation", data, seed, count=n) for n in sorted((a, b)))
    assert outer.rows.tolist() == sorted(set(outer.rows.tolist()))
    assert sorted(outer.targets.tolist()) == sorted(labels[outer.rows].tolist())
    assert set(inner.rows.tolist()) <= set(outer.rows.tolist())
    assert len(inner.rows) == min(a, b)


def test_permuting_is_worked_as_the_published_code_means_it() -> None:
    labels = [i % 10 for i in range(100)]
    found = pairs(corrupt("label_permutation", labelled(labels, 10), count=30, numpy_seed=4))
    drawn = np.random.RandomState(4).choice(100, 30, replace=False)
    assert found == {int(to): labels[of] for to, of in zip(sorted(drawn), drawn, strict=True)}


def test_a_permuted_label_is_kept_as_often_as_chance_keeps_it() -> None:
    data = labelled([i % 5 for i in range(5000)], 5)
    found = corrupt("label_permutation", data, share=1.0)
    # Hypergeometric: 1000 expected, standard deviation 28.
    assert abs(int((found.targets == data.train.targets[found.rows]).sum()) - 1000) < 130


@settings(max_examples=60)
@given(st.lists(st.integers(0, 3), min_size=4, max_size=40), st.integers(0, 99), st.data())
def test_swapping_the_first_is_the_published_loop(
    labels: list[int], seed: int, data: st.DataObject
) -> None:
    smaller = min(labels.count(1), labels.count(3))
    if not smaller:
        return
    half = data.draw(st.integers(1, smaller))
    expected, left = {}, {1: half, 3: half}
    for row, label in enumerate(labels):
        if left.get(label):
            left[label] -= 1
            expected[row] = 4 - label
    whole = labelled(labels, 4)
    found = corrupt("class_swap", whole, seed, classes=[3, 1], count=2 * half, first=True)
    assert pairs(found) == expected


def test_the_first_samples_are_the_first_of_the_training_rows() -> None:
    data = labelled([0, 1] * 5, 2)
    use = structure_use("corruptions", {"name": "class_swap", "classes": [0, 1], "count": 4,
                                        "first": True})  # fmt: skip
    rows = torch.tensor([2, 5, 6, 7, 8, 9])
    function = get("corruptions", "class_swap").function
    task = CorruptionTask(corruption="class_swap", rows=rows, dataset=data, seed="s")
    found = function(data.train, use.settings, task)
    assert pairs(found) == {2: 1, 6: 1, 5: 0, 7: 0}


def test_discovered_swaps_are_drawn_class_by_class_as_in_the_published_code() -> None:
    data = labelled([1, 0, 1, 0, 1, 0], 2)
    chosen = {"classes": [0, 1], "count": 6, "first": True}
    found = corrupt("class_swap", data, **chosen, numpy_seed=0)
    assert found.rows.tolist() == [1, 3, 5, 0, 2, 4]
    assert pairs(found) == pairs(corrupt("class_swap", data, **chosen))
    # numpy.random.seed(0), then choice([1, 3, 5, 0, 2, 4], 3, replace=False)
    expected = np.random.RandomState(0).choice([1, 3, 5, 0, 2, 4], 3, replace=False)
    assert draw(found.rows, 3, torch.Generator(), numpy_seed=0).tolist() == expected.tolist()
