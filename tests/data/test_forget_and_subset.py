"""Forget sets and subsets against slow obvious versions, and every bad list of rows."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import attrs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.components import NoSettings, get
from harness.corruptions.types import Corruption
from harness.data.subset import subset
from harness.data.types import DataRoot, Split
from harness.errors import HarnessError
from harness.spec.structure import structure_use

NOWHERE = DataRoot(None, offline=True)
DIGITS = get("datasets", "digits").function(NoSettings(), NOWHERE)
ROWS = torch.tensor([1, 2, 3, 5, 8, 13, 21, 34, 55, 89])
POISON = Corruption(ROWS[2:9], torch.zeros(7, dtype=torch.int64))
LABELS = torch.arange(100) % 4


def choose(name: str, root: DataRoot = NOWHERE, seed: int = 0, **chosen: object) -> list[int]:
    use = structure_use("forget_sets", {"set": name, **chosen})
    draws = torch.Generator().manual_seed(seed)
    function = get("forget_sets", name).function
    return function(use.settings, ROWS, POISON, LABELS, draws, root).tolist()


@given(st.floats(0.001, 1.0), st.integers(0, 20))
def test_the_discovered_part_has_its_rounded_size_and_is_at_least_one(
    share: float, seed: int
) -> None:
    found = choose("corrupted", seed=seed, discovered=share)
    assert len(found) == max(1, round(share * 7))
    assert found == sorted(set(found) & set(POISON.rows.tolist()))


def test_all_discovered_is_all_corrupted_whatever_the_seed() -> None:
    assert {tuple(choose("corrupted", seed=s)) for s in range(5)} == {tuple(POISON.rows.tolist())}


@settings(max_examples=40)
@given(st.lists(st.floats(0.01, 0.99), min_size=2, max_size=6), st.integers(0, 20))
def test_random_shares_are_nested_and_depend_on_the_seed_alone(
    shares: list[float], seed: int
) -> None:
    sets = [set(choose("random", seed=seed, share=share)) for share in sorted(shares)]
    assert all(a <= b for a, b in pairwise(sets))
    assert sets[-1] <= set(ROWS.tolist())
    assert len(sets[0]) == max(1, round(min(shares) * 10))


def test_every_row_can_be_drawn() -> None:
    drawn = {choose("random", seed=s, share=0.1)[0] for s in range(200)}
    assert drawn == set(ROWS.tolist())


@pytest.mark.parametrize("label", range(4))
def test_a_class_is_the_rows_a_loop_finds(label: int) -> None:
    expected = [row for row in ROWS.tolist() if row % 4 == label]
    assert choose("class", label=label) == expected


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("rows.txt", "1\n\n2.5\n", "rows.txt:3: found '2.5'; a whole number is needed"),
        ("rows.txt", "1\n2\n1\n", "rows.txt: a row is listed twice"),
        ("rows.txt", "1\n4\n", "rows.txt: entry 2: 4 is no training row"),
        ("rows.txt", "-1\n", "entry 1: -1 is no training row"),
        ("rows.txt", "99999999999999999999\n", "is no training row"),
        ("rows.json", "[1, 2.0]", "a JSON list of whole numbers is needed"),
        ("rows.json", "[1, true]", "a JSON list of whole numbers is needed"),
        ("rows.json", "3", "a JSON list of whole numbers is needed"),
    ],
)
def test_a_bad_list_of_rows_is_named_with_its_place(
    name: str, text: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(HarnessError, match=words):
        choose("indices", DataRoot(tmp_path, offline=True), file=name)


def test_a_list_of_rows_needs_a_data_root_and_a_file(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="--data-root is needed"):
        choose("indices", file="rows.txt")
    (tmp_path / "folder").mkdir()
    for name in ("rows.txt", "folder"):
        with pytest.raises(HarnessError, match="no such file below"):
            choose("indices", DataRoot(tmp_path, offline=True), file=name)


def test_lists_written_on_windows_are_read(tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_bytes(b"5\r\n 3 \r\n\r\n")
    assert choose("indices", DataRoot(tmp_path, offline=True), file="rows.txt") == [3, 5]


def test_groups_are_counted_from_the_start_of_the_data_not_of_the_rows(tmp_path: Path) -> None:
    root = DataRoot(tmp_path, offline=True)
    (tmp_path / "groups.txt").write_text("\n".join(str(i // 10) for i in range(100)))
    assert choose("group", root, file="groups.txt", groups=[0, 3]) == [1, 2, 3, 5, 8, 34]
    with pytest.raises(HarnessError, match=r"no training sample is in \[7\]"):
        choose("group", root, file="groups.txt", groups=[7])
    (tmp_path / "short.txt").write_text("1\n2\n")
    with pytest.raises(HarnessError, match="2 groups for 100 training samples"):
        choose("group", root, file="short.txt", groups=[1])


def slow_subset(labels: list[int], count: int) -> list[int]:
    """Take the first unused row of each class in the order of the data, round after round."""
    left, taken = list(range(len(labels))), []
    while len(taken) < count:
        seen: set[int] = set()
        for row in list(left):
            if labels[row] not in seen and len(taken) < count:
                seen.add(labels[row])
                taken.append(row)
                left.remove(row)
    return sorted(taken)


@settings(max_examples=60)
@given(st.data())
def test_a_subset_takes_each_class_in_turn_as_a_slow_loop_does(data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=30))
    count = data.draw(st.integers(1, len(labels)))
    inputs = torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1)
    whole = attrs.evolve(DIGITS, train=Split(inputs, torch.tensor(labels)))
    found = subset(whole, count, None)
    expected = slow_subset(labels, count)
    assert found.train.inputs.flatten().tolist() == expected
    assert found.train.targets.tolist() == [labels[row] for row in expected]
    assert found.test is DIGITS.test


def test_a_smaller_subset_is_part_of_a_larger_one() -> None:
    def rows(count: int) -> set[bytes]:
        return {image.numpy().tobytes() for image in subset(DIGITS, count, None).train.inputs}

    assert rows(50) <= rows(120) <= rows(1437)


def test_a_subset_that_asks_for_nothing_is_the_data_set_itself() -> None:
    assert subset(DIGITS, None, None) is DIGITS
    assert subset(DIGITS, 1437, 360).digest == DIGITS.digest
    with pytest.raises(HarnessError, match="digits test has 360 samples; 361 were asked for"):
        subset(DIGITS, None, 361)
