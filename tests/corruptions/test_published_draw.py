"""The draw of published code, against figures that were worked out outside this project."""

from __future__ import annotations

import pytest
import torch

from harness.components import get
from harness.corruptions.types import Corruption, draw
from harness.data.types import DataRoot
from harness.errors import HarnessError

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


def discovered(poisoned: torch.Tensor, share: float, *after: float) -> list[int]:
    component = get("forget_sets", "corrupted")
    settings = component.settings(discovered=share, numpy_seed=0, after_corruption=after)
    here, nothing = DataRoot(None, offline=True), torch.zeros(len(ROWS), dtype=torch.int64)
    found = component.function(
        settings, ROWS, Corruption(poisoned), nothing, torch.Generator(), here
    )
    return found.tolist()


@pytest.mark.parametrize(("count", "row"), [(100, 46712), (500, 28795), (1000, 33571)])
def test_the_single_sample_is_drawn_after_the_poison_as_in_the_published_code(
    count: int, row: int
) -> None:
    poisoned = published(ROWS, count).sort().values
    assert discovered(poisoned, 0, 0) == [row]
    assert discovered(poisoned, 0.1, 0) == discovered(poisoned, 0.1)  # the next share: anew


def test_the_first_share_of_the_grid_script_is_drawn_after_the_poison() -> None:
    poisoned = published(ROWS, 100).sort().values
    ten = discovered(poisoned, 0.1, 0.1)
    assert len(ten) == 10
    assert {46712, 32490, 15301} <= set(ten)  # protocol section 1


def test_a_stream_goes_on_only_from_the_draw_that_it_began_with() -> None:
    poisoned = published(ROWS[5000:], 100).sort().values
    with pytest.raises(HarnessError, match="after_corruption: the corrupted samples are not those"):
        discovered(poisoned, 0, 0)
