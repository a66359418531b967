"""Pools against batches that are put together by hand."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.components import get
from harness.data.changes import Change
from harness.data.encodings import Images
from harness.data.pool import Batch, Pool
from harness.data.types import Split
from harness.spec.structure import structure_use

MEAN, STD = (0.5, 0.25, 0.1), (0.2, 0.3, 0.4)
USES = tuple(
    structure_use("augmentations", written)
    for written in ({"name": "random_crop", "padding": 2}, "horizontal_flip")
)


def split() -> Split:
    draws = torch.Generator().manual_seed(2)
    inputs = torch.randint(0, 256, (20, 3, 6, 6), generator=draws).to(torch.uint8)
    return Split(inputs, torch.arange(20) % 4)


def pool(rows: list[int], **changes: object) -> Pool:
    chosen = {"encoding": Images((3, 6, 6), MEAN, STD), **changes}
    return Pool(split(), torch.tensor(rows, dtype=torch.int64), **chosen)  # type: ignore[arg-type]


def normalised(images: torch.Tensor) -> torch.Tensor:
    shown = images.double() / 255
    for channel in range(3):
        shown[:, channel] = (shown[:, channel] - MEAN[channel]) / STD[channel]
    return shown


def rows_of(batches: list[Batch]) -> list[list[int]]:
    return [batch.row.tolist() for batch in batches]


@settings(max_examples=20)
@given(st.integers(1, 8), st.integers(0, 50))
def test_an_epoch_draws_one_order_then_a_seed_for_each_batch(size: int, seed: int) -> None:
    rows = [1, 4, 5, 8, 13, 17, 19]
    found = list(pool(rows, augment=USES).epoch(size, torch.Generator().manual_seed(seed)))
    draws = torch.Generator().manual_seed(seed)
    order = [rows[i] for i in torch.randperm(7, generator=draws).tolist()]
    groups = [order[i : i + size] for i in range(0, 7, size)]
    seeds = torch.randint(2**62, (len(groups),), generator=draws).tolist()
    assert rows_of(found) == groups
    for batch, group, own in zip(found, groups, seeds, strict=True):
        images, stream = split().inputs[group], torch.Generator().manual_seed(own)
        for use in USES:  # crop first: both draw from one stream
            images = get("augmentations", use.name).function(
                images, settings=use.settings, generator=stream
            )
        torch.testing.assert_close(batch.x.double(), normalised(images), atol=1e-5, rtol=1e-5)
        assert batch.y.tolist() == [row % 4 for row in group]


def test_epochs_follow_each_other_from_one_stream() -> None:
    part = pool([0, 1, 2, 3, 4])
    draws = torch.Generator().manual_seed(3)
    expected = [batch for _ in range(3) for batch in part.epoch(2, draws)]
    found = list(islice(part.forever(2, torch.Generator().manual_seed(3)), 9))
    assert rows_of(found) == rows_of(expected)
    orders = [str(rows_of(expected[i : i + 3])) for i in (0, 3, 6)]
    assert len(set(orders)) == 3


def test_an_empty_pool_has_no_batch_instead_of_looping_for_ever() -> None:
    empty = pool([])
    assert list(empty.forever(4, torch.Generator())) == []
    assert list(empty.epoch(4, torch.Generator())) == list(empty.ordered(4)) == []


def test_without_shuffling_samples_come_in_the_order_of_the_index() -> None:
    found = list(pool([7, 2, 9]).epoch(2, torch.Generator(), shuffle=False))
    assert rows_of(found) == [[7, 2], [9]]


def test_evaluation_is_not_augmented_unless_asked() -> None:
    part = pool([3, 6], augment=USES)
    [plain] = part.ordered()
    torch.testing.assert_close(
        plain.x.double(), normalised(split().inputs[[3, 6]]), atol=1e-5, rtol=1e-5
    )
    [moved] = part.ordered(augment=True, generator=torch.Generator().manual_seed(1))
    assert not torch.equal(moved.x, plain.x)


def test_the_stamp_sees_normalised_images_and_survives_cutting_and_joining() -> None:
    stamped = torch.zeros(20, dtype=torch.bool)
    stamped[[5, 9]] = True
    part = pool([4, 5, 9, 10], after=Change(stamped, lambda x, rows: x + 100))
    cut = part.subset(torch.tensor([2, 0])).joined(part.subset(torch.tensor([1, 3])))
    for found, rows in ((part, [4, 5, 9, 10]), (cut, [9, 4, 5, 10])):
        [batch] = found.ordered()
        expected = normalised(split().inputs[rows])
        for i, row in enumerate(rows):
            expected[i] += 100 * (row in (5, 9))
        torch.testing.assert_close(batch.x.double(), expected, atol=1e-4, rtol=1e-5)
        assert batch.row.tolist() == rows


def test_the_memory_layout_does_not_change_values() -> None:
    [plain], [last] = (pool([0, 1], channels_last=flag).ordered() for flag in (False, True))
    assert torch.equal(plain.x, last.x)
    assert last.x.is_contiguous(memory_format=torch.channels_last)


def test_changing_labels_leaves_the_first_pool_alone() -> None:
    part = pool([0, 1, 2])
    assert part.with_targets(torch.tensor([9, 9, 9])).targets.tolist() == [9, 9, 9]
    assert part.targets.tolist() == [0, 1, 2]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_skipping_leaves_the_generator_where_a_whole_pass_does(size: int) -> None:
    part, streams = pool([0, 1, 2, 3, 4], augment=USES), []
    for skip in (0, 1, 2, 99):
        draws = torch.Generator().manual_seed(8)
        list(part.epoch(size, draws, skip=skip))
        streams.append(draws.get_state())
    assert all(torch.equal(state, streams[0]) for state in streams)
