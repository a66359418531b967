"""Encodings by their definition, and pools whose inputs change on the way to a batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.components import get
from harness.data.changes import Change, Replacement, marks
from harness.data.encodings import Features, Images, TokenBatch, Tokens
from harness.data.pool import Pool
from harness.data.types import Split
from harness.errors import HarnessError
from harness.spec.structure import structure_use

RAW = Images((3, 4, 4), mean=(0.0,) * 3, std=(1 / 255,) * 3)  # batches show the intensities
TOTAL = 12


def draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.integers(0, 99), st.integers(1, 3), st.sampled_from([torch.uint8, torch.float32]))
def test_images_are_normalised_by_channel(seed: int, channels: int, kind: torch.dtype) -> None:
    means, stds = torch.rand(2, channels, generator=draws(seed))
    encoding = Images((channels, 2, 3), tuple(means.tolist()), tuple((stds + 0.1).tolist()))
    stored = (255 * torch.rand(5, channels, 2, 3, generator=draws(seed))).to(kind)
    before = stored.clone()
    found = encoding.batch(stored)
    for channel in range(channels):
        exact = stored[:, channel].double() / 255 - encoding.mean[channel]
        exact = exact / encoding.std[channel]
        torch.testing.assert_close(found[:, channel].double(), exact, atol=1e-5, rtol=1e-5)
    assert found.dtype == torch.float32
    assert torch.equal(stored, before)


def test_gradients_pass_through_an_encoding_even_if_it_was_first_used_without() -> None:
    encoding = Images((1, 2, 2), mean=(0.25,), std=(0.123,))
    with torch.inference_mode():
        encoding.batch(torch.zeros(1, 1, 2, 2))
    stored = torch.full((2, 1, 2, 2), 9.0, requires_grad=True)
    encoding.batch(stored).sum().backward()
    assert stored.grad is not None
    torch.testing.assert_close(stored.grad, torch.full_like(stored, 1 / (255 * 0.123)))


@given(st.lists(st.lists(st.integers(-1, 49), min_size=6, max_size=6), min_size=1, max_size=5))
def test_tokens_are_masked_at_padding(ids: list[list[int]]) -> None:
    found = Tokens(length=6, vocabulary=50).batch(torch.tensor(ids, dtype=torch.int32))
    assert found.mask.tolist() == [[i >= 0 for i in row] for row in ids]
    assert found.ids.tolist() == [[max(i, 0) for i in row] for row in ids]
    assert found.ids.dtype == torch.int64


def test_features_are_taken_as_they_are() -> None:
    stored = torch.randn(4, 7, generator=draws(0))
    assert torch.equal(Features(7).batch(stored), stored)


@pytest.mark.parametrize("encoding", [RAW, Tokens(6, 50), Features(7)])
def test_an_example_is_a_batch_of_zeros_on_any_device(encoding: Any) -> None:
    for device in ("cpu", "meta"):
        with torch.device(device):
            found = encoding.example(3)
        for part in found[:2] if isinstance(found, TokenBatch) else (found,):
            assert part.device.type == device
            assert tuple(part.shape) == (3, *encoding.shape)


def test_the_mlp_takes_images_and_vectors() -> None:
    use = structure_use("models", {"name": "mlp", "hidden": [5]})
    for encoding in (RAW, Features(7)):
        model = get("models", "mlp").function(use.settings, encoding, 4)
        assert model(encoding.example(2)).shape == (2, 4)


@pytest.mark.parametrize("encoding", [RAW, Tokens(6, 50), Features(7)])
def test_pools_draw_every_encoding_in_any_memory_layout(encoding: Any) -> None:
    kinds = {"images": torch.uint8, "tokens": torch.int32, "features": torch.float32}
    stored = torch.randint(0, 50, (TOTAL, *encoding.shape), generator=draws(1))
    split = Split(stored.to(kinds[encoding.name]), torch.arange(TOTAL))
    pool = Pool(split, torch.arange(2, 9), encoding=encoding, channels_last=True)
    for batch in (*pool.ordered(3), *pool.epoch(4, draws(2))):
        expected = encoding.batch(split.inputs[batch.row])
        torch.testing.assert_close(batch.x, expected, rtol=0, atol=0)


def coloured() -> Split:
    inputs = torch.randint(0, 256, (TOTAL, *RAW.shape), generator=draws(3)).to(torch.uint8)
    return Split(inputs, torch.arange(TOTAL))


def replaced(rows: list[int]) -> tuple[Change, torch.Tensor]:
    """A change that puts other floats at ``rows``, and what the whole split then shows."""
    values = 300 * torch.rand(len(rows), *RAW.shape, generator=draws(4)) - 20
    expected = coloured().inputs.float()
    expected[rows] = values
    chosen = torch.tensor(rows, dtype=torch.int64)
    return Change(marks(chosen, TOTAL), Replacement(chosen, values, TOTAL)), expected


def shown(pool: Pool, expected: torch.Tensor) -> None:
    """Every way through ``pool`` gives exactly ``expected`` of its rows."""
    for batch in (*pool.ordered(5), *pool.epoch(3, draws(6))):
        assert torch.equal(batch.x, RAW.batch(expected[batch.row]))


some_rows = st.lists(st.integers(0, TOTAL - 1), unique=True, max_size=TOTAL)


@settings(max_examples=30)
@given(some_rows, some_rows)
def test_floats_lie_over_stored_bytes_in_every_pool_made_of_them(
    rows: list[int], index: list[int]
) -> None:
    change, expected = replaced(rows)
    whole = Pool(coloured(), torch.tensor(index, dtype=torch.int64), encoding=RAW, before=[change])
    shown(whole, expected)
    half = whole.subset(torch.arange(len(index) // 2))
    shown(half, expected)
    shown(half.joined(whole.subset(torch.arange(len(index) // 2, len(index)))), expected)
    other = whole.with_targets(torch.zeros(len(index), dtype=torch.int64))
    shown(other, expected)
    assert other.targets.tolist() == [0] * len(index)
    assert whole.inputs.dtype == torch.uint8


@settings(max_examples=20)
@given(some_rows)
def test_changes_are_made_in_order_of_marked_rows_only(rows: list[int]) -> None:
    asked: list[int] = []

    def doubled(inputs: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        asked.extend(at.tolist())
        return 2 * inputs

    first, expected = replaced([1, 4])
    chosen = torch.tensor(rows, dtype=torch.int64)
    changes = [first, Change(marks(chosen, TOTAL), doubled)]
    pool = Pool(coloured(), torch.arange(TOTAL), encoding=RAW, before=changes)
    expected[rows] *= 2
    shown(pool, expected)
    assert set(asked) == set(rows)


def test_a_change_after_the_encoding_sees_normalised_images() -> None:
    after = Change(marks(torch.tensor([2, 3]), TOTAL), lambda x, rows: x + 1000)
    before, expected = replaced([3, 5])
    pool = Pool(coloured(), torch.arange(TOTAL), encoding=RAW, before=[before], after=after)
    [batch] = pool.ordered()
    exact = RAW.batch(expected)
    exact[[2, 3]] += 1000
    assert torch.equal(batch.x, exact)


def test_a_change_after_the_encoding_adds_to_the_vectors_of_marked_texts_only() -> None:
    encoding, rows = Tokens(length=4, vocabulary=9), torch.tensor([7, 2])
    split = Split(torch.randint(0, 9, (TOTAL, 4)).int(), torch.arange(TOTAL))
    noise = torch.randn(2, 4, 5, generator=draws(8))
    after = Change(marks(rows, TOTAL), Replacement(rows, noise, TOTAL))
    every = torch.zeros(TOTAL, 4, 5).index_copy(0, rows, noise)
    pool = Pool(split, torch.arange(TOTAL), encoding=encoding, after=after)
    for batch in (*pool.epoch(4, draws(9)), *pool.subset(torch.tensor([2, 3])).ordered()):
        assert torch.equal(batch.x.ids, split.inputs[batch.row].long())
        if batch.x.shift is None:
            assert not every[batch.row].any()
        else:
            assert torch.equal(batch.x.shift, every[batch.row])
    [clean] = pool.subset(torch.tensor([0, 1, 3])).ordered()
    assert clean.x.shift is None


def test_clean_and_changed_pools_join_to_one_that_changes_what_is_marked() -> None:
    change, expected = replaced([1, 8])
    clean = Pool(coloured(), torch.tensor([0, 2, 3]), encoding=RAW)
    changed = Pool(coloured(), torch.tensor([1, 8, 9]), encoding=RAW, before=[change])
    shown(clean.joined(changed), expected)
    shown(changed.joined(clean), expected)
    twin = Pool(coloured(), torch.tensor([1]), encoding=RAW, before=[replaced([1])[0]])
    with pytest.raises(HarnessError, match="different ways"):
        changed.joined(twin)


def test_a_rule_that_changes_shape_or_type_is_refused() -> None:
    for wrong in (lambda x, rows: x.byte(), lambda x, rows: x[:1]):
        change = Change(torch.ones(TOTAL, dtype=torch.bool), wrong)
        pool = Pool(coloured(), torch.arange(TOTAL), encoding=RAW, before=[change])
        with pytest.raises(HarnessError, match=r"a rule gave inputs .* for torch.float32"):
            list(pool.ordered())


AUGMENTATIONS = [
    {"name": "random_crop", "padding": 2},
    {"name": "random_crop", "padding": 2, "mode": "reflect"},
    {"name": "horizontal_flip"},
    {"name": "cutout", "size": 3},
    {"name": "random_resized_crop"},
]


@pytest.mark.parametrize("written", AUGMENTATIONS)
def test_augmentations_move_floats_as_bytes_and_round_nothing(written: dict[str, Any]) -> None:
    use = structure_use("augmentations", written)
    function = get("augmentations", use.name).function
    stored = coloured().inputs
    whole = function(stored, use.settings, draws(5))
    same = function(stored.float(), use.settings, draws(5))
    assert (whole.dtype, same.dtype) == (torch.uint8, torch.float32)
    assert torch.equal(same.round().to(torch.uint8), whole)
    shifted = function(stored.float() + 0.25, use.settings, draws(5))
    inside = shifted != 0  # what a crop or a hole leaves black stays black
    torch.testing.assert_close(shifted[inside], same[inside] + 0.25, atol=1e-3, rtol=0)
