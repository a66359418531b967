"""Targets of other tasks than the class: made from the clean image, moved as it is moved."""

from __future__ import annotations

from math import sqrt

import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d

from harness.data.changes import Change, Replacement, marks
from harness.data.encodings import Images
from harness.data.pool import Pool
from harness.data.tasks import edges
from harness.data.types import Split, digest
from harness.errors import HarnessError
from harness.spec.structure import structure_use

ENCODING = Images((3, 8, 8), (0.0,) * 3, (1.0,) * 3)


def split(count: int = 6) -> Split:
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, 8, 8), generator=draws).to(torch.uint8)
    depth = torch.rand(count, 1, 8, 8, generator=draws)
    return Split(images, torch.arange(count) % 2, maps={"depth": depth})


def test_the_edges_of_a_drawn_square_are_those_worked_by_hand() -> None:
    picture = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    picture[..., 4:12, 4:12] = 255
    fine = edges(picture)
    assert fine[0, 0, 3, 7] == fine[0, 0, 4, 7] == 1  # both sides of a straight step
    corner, near, inner = sqrt(2) / 16, (sqrt(10) / 4 + 1) / 4, (sqrt(18) / 4 + 2) / 4
    quarter = [
        [0, 0, 0, 0],
        [0, corner, near, 0.5],
        [0, near, inner, 0.5],
        [0, 0.5, 0.5, 0],
    ]
    quarters = torch.tensor(quarter)
    left = torch.cat([quarters, quarters.flip(0)])
    expected = torch.cat([left, left.flip(1)], 1)
    torch.testing.assert_close(adaptive_avg_pool2d(fine, 8)[0, 0], expected)


def test_a_step_in_one_channel_of_three_is_a_third_as_strong() -> None:
    picture = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    picture[:, 1, :, 2:] = 255
    torch.testing.assert_close(edges(picture)[0, 0, 1], torch.tensor([0, 1, 1, 0]) / 3)


def test_targets_are_of_the_clean_image_and_move_with_the_one_that_is_trained_on() -> None:
    clean = split()
    rows = torch.arange(6)
    # The trained-on images say where each pixel came from; the hole and its draws move nothing.
    places = torch.arange(1.0, 65).view(1, 1, 8, 8).expand(6, 3, 8, 8)
    uses = [
        {"name": "random_crop", "padding": 2},
        {"name": "cutout", "size": 3},
        "horizontal_flip",
    ]
    pool = Pool(
        clean,
        rows,
        encoding=ENCODING,
        augment=[structure_use("augmentations", use) for use in uses],
        before=[Change(marks(rows, 6), Replacement(rows, places.clone(), 6))],
    )
    plain = next(iter(pool.epoch(6, torch.Generator().manual_seed(3))))
    both = pool.with_maps(("edges", "depth"))
    batch = next(iter(both.epoch(6, torch.Generator().manual_seed(3))))
    assert torch.equal(batch.x, plain.x)
    assert torch.equal(batch.row, plain.row)
    assert not plain.maps
    came = (batch.x[:, 0] * 255).round().long()  # 0: outside, or in the hole
    assert came.gt(0).float().mean() > 0.3
    depth = clean.maps["depth"][batch.row].flatten(1)
    moved = depth.gather(1, (came - 1).clamp(min=0).flatten(1)).view(6, 8, 8)
    assert torch.equal(batch.maps["depth"][:, 0][came > 0], moved[came > 0])
    unmoved = next(both.ordered(6))
    assert torch.equal(unmoved.maps["edges"], edges(clean.inputs))


def test_the_maps_of_a_split_go_with_its_samples_and_into_its_digest() -> None:
    whole = split()
    part = whole.at(torch.tensor([4, 1]))
    assert torch.equal(part.maps["depth"], whole.maps["depth"][[4, 1]])
    plain = Split(whole.inputs, whole.targets)
    assert digest(whole) != digest(plain)


def test_a_task_that_is_not_there_and_samples_without_a_clean_image_are_refused() -> None:
    clean = split()
    pool = Pool(clean, torch.arange(6), encoding=ENCODING)
    with pytest.raises(HarnessError, match=r"no task 'dept'; did you mean 'depth'.*edges, depth"):
        pool.with_maps(("dept",))
    more = Pool(clean, torch.arange(6), encoding=ENCODING, clean=clean.at(torch.arange(4)))
    with pytest.raises(HarnessError, match="no clean image"):
        more.with_maps(("edges",))
