"""The draw of published code, against figures that were worked out outside this project."""

from __future__ import annotations

import torch

from harness.corruptions.types import draw

ROWS = torch.arange(50_000)
FIRST = [11841, 19602, 45519, 25747, 42642, 31902, 30346, 12363]  # protocol section 1


def published(rows: torch.Tensor, wanted: int) -> torch.Tensor:
    return draw(rows, wanted, torch.Generator(), numpy_seed=0)


def test_poisoned_rows_are_those_of_the_published_code() -> None:
    assert published(ROWS, 100)[:8].tolist() == FIRST


def test_discovered_rows_are_those_of_the_published_code() -> None:
    poisoned = published(ROWS, 100).sort().values
    assert published(poisoned, 10)[:3].tolist() == [12363, 43515, 1083]


def test_smaller_published_draws_are_part_of_larger_ones() -> None:
    large = published(ROWS, 1000)
    assert torch.equal(published(ROWS, 100), large[:100])
    assert torch.equal(published(ROWS, 500), large[:500])
