"""Defences on small images worked by hand, and against Pillow."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from harness.components import get
from harness.data.encodings import Images
from harness.data.pool import Pool
from harness.data.types import Split
from harness.errors import HarnessError
from harness.spec.structure import structure_use

NOISE = torch.randint(
    0, 256, (6, 3, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8
)
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])
ENCODING = Images((3, 8, 8), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.25))


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def squeezed(name: str, images: torch.Tensor, **settings: Any) -> torch.Tensor:
    use = structure_use("augmentations", {"name": name, **settings})
    labels = torch.zeros(len(images), dtype=torch.int64)
    found: torch.Tensor = get("augmentations", name).function(images, labels, use.settings, draws())
    return found


def test_jpeg_is_what_pillow_saves_and_opens() -> None:
    for images in (NOISE, NOISE[:, :1]):
        found = squeezed("jpeg", images, quality=30)
        for image, ours in zip(images.permute(0, 2, 3, 1).numpy(), found, strict=True):
            file = io.BytesIO()
            Image.fromarray(image.squeeze()).save(file, "JPEG", quality=30)
            theirs = np.asarray(Image.open(file)).reshape(8, 8, -1)
            assert np.array_equal(ours.permute(1, 2, 0), theirs)


def test_grayscale_is_pillows_to_the_last_bit() -> None:
    found = squeezed("grayscale", NOISE)
    for image, ours in zip(NOISE.permute(0, 2, 3, 1).numpy(), found, strict=True):
        assert np.array_equal(ours[0], np.asarray(Image.fromarray(image).convert("L")))
    assert torch.equal(found[:, 0], found[:, 2])


def test_two_bits_are_left_of_each_intensity() -> None:
    images = torch.tensor([0, 63, 64, 127, 128, 200, 255], dtype=torch.uint8).view(1, 1, 1, 7)
    assert squeezed("bit_depth", images).flatten().tolist() == [0, 0, 64, 64, 128, 192, 192]
    assert torch.equal(squeezed("bit_depth", images, bits=8), images)


def test_the_published_blur_changes_nothing_and_a_wide_one_is_the_mean_of_neighbours() -> None:
    assert torch.equal(squeezed("gaussian_blur", NOISE), NOISE)
    wide = squeezed("gaussian_blur", NOISE, sigma=1e4)
    assert wide[2, 1, 3, 4] == NOISE[2, 1, 2:5, 3:6].float().mean().round()


def test_orthogonal_projection_takes_a_planted_shortcut_and_leaves_the_rest() -> None:
    picture = torch.randint(60, 196, (300, 1, 6, 6), generator=draws()).float()
    labels = torch.arange(300) % 3
    patterns = torch.randn(3, 1, 6, 6, generator=draws(1)).sign() * 20
    images = (picture + patterns[labels]).to(torch.uint8)
    use = structure_use(
        "augmentations", {"name": "orthogonal_projection", "lr": 1.0, "batch_size": 50}
    )
    projected = get("augmentations", use.name).function(images, labels, use.settings, draws(2))

    def separable(inputs: torch.Tensor) -> float:
        """Training accuracy of the class means' nearest-mean rule on other samples."""
        x = inputs.float().flatten(1)
        means = torch.stack([x[:150][labels[:150] == c].mean(0) for c in range(3)])
        return (torch.cdist(x[150:], means).argmin(1) == labels[150:]).float().mean().item()

    assert separable(images) > 0.95
    assert separable(projected) < 0.5
    x, found = images.flatten(1).float(), projected.flatten(1)
    assert torch.linalg.matrix_rank(x - found, tol=0.1) == 3
    assert torch.allclose(((x - found) * found).sum(1), torch.zeros(300), atol=2)


def mixed(name: str, **settings: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    use = structure_use("augmentations", {"name": name, **settings})
    labels = F.one_hot(torch.arange(6), 6).float()
    values = torch.arange(6.0)[:, None, None, None].expand(6, 1, 8, 8) + 1
    images, y = get("augmentations", name).function(values, labels, use.settings, draws(3))
    return values, images, y


def test_mixup_weighs_images_and_labels_alike() -> None:
    values, images, y = mixed("mixup")
    assert y.sum(1).tolist() == pytest.approx([1] * 6)
    assert torch.allclose(images[:, 0, 0, 0], y @ values[:, 0, 0, 0])
    assert len({round(weight, 4) for weight in y.max(1).values.tolist()}) > 1


def test_cutmix_puts_in_a_box_and_weighs_labels_by_its_area() -> None:
    values, images, y = mixed("cutmix")
    for i, image in enumerate(images[:, 0]):
        other = image != values[i, 0]
        assert y[i, i].item() == pytest.approx(1 - other.float().mean().item())
        rows, columns = other.any(1).sum(), other.any(0).sum()
        assert other.sum() == rows * columns
        if other.any():
            partner = int(image[other][0]) - 1
            assert y[i, partner].item() == pytest.approx(other.float().mean().item())
    assert (images != values).any()


def test_batches_have_soft_labels_only_where_labels_are_mixed() -> None:
    uses = [structure_use("augmentations", name) for name in ("mixup", "cutmix")]
    split, every = Split(NOISE, LABELS), torch.arange(6)
    pool = Pool(split, every, encoding=ENCODING, augment=uses, classes=4)
    (batch,) = pool.epoch(6, draws())
    assert batch.y.shape == (6, 4)
    assert batch.y.sum(1).tolist() == pytest.approx([1] * 6)
    loss = F.cross_entropy(torch.randn(6, 4), batch.y)
    assert loss.isfinite()
    (plain,) = pool.ordered(6)
    assert torch.equal(plain.y, LABELS)
    with pytest.raises(HarnessError, match="'mixup' needs more"):
        Pool(split, every, encoding=ENCODING, augment=uses)


def test_ueraser_changes_images_as_its_draws_say_and_keeps_their_type() -> None:
    use = structure_use("augmentations", "ueraser")
    function = get("augmentations", "ueraser").function
    found = function(NOISE, use.settings, draws(4))
    assert found.dtype == torch.uint8
    assert torch.equal(found, function(NOISE, use.settings, draws(4)))
    assert not torch.equal(found, function(NOISE, use.settings, draws(5)))
    assert function(NOISE.float(), use.settings, draws(4)).dtype == torch.float32
    none = structure_use(
        "augmentations", {"name": "ueraser", "plasma": 0, "shuffle": 0, "operation": 0}
    )
    assert torch.equal(function(NOISE, none.settings, draws(4)), NOISE)
    shuffled = structure_use(
        "augmentations", {"name": "ueraser", "plasma": 0, "shuffle": 1, "operation": 0}
    )
    swapped = function(NOISE, shuffled.settings, draws(4))
    assert torch.equal(swapped.sort(1).values, NOISE.sort(1).values)


def test_every_operation_of_ueraser_is_one_at_half_strength() -> None:
    from harness.data.augmentations.ueraser import operations

    photograph = F.interpolate(NOISE.float(), size=16, mode="bilinear").to(torch.uint8)
    photograph[:, :, 0, 0], photograph[:, :, 0, 1] = 0, 255
    half, strong = operations(0.5, 16, 16), operations(1.0, 16, 16)
    for name in ("brightness", "contrast", "sharpness", "rotate", "shear_x", "translate_y"):
        assert torch.equal(half[name](photograph), photograph), name
        assert not torch.equal(strong[name](photograph), photograph), name
    assert torch.equal(half["auto_contrast"](photograph), photograph)
    assert torch.equal(strong["translate_x"](photograph)[..., 8:], photograph[..., :8])


def test_plasma_fills_every_level_from_its_neighbours() -> None:
    from harness.data.augmentations.ueraser import plasma

    smooth = plasma(torch.zeros(1), 5, draws())[0]
    first = plasma(torch.zeros(1), 3, draws())[0]
    assert torch.equal(smooth[::2, ::2], first)
    assert smooth[1, 1] == pytest.approx(first[:2, :2].mean().item())
    top = (first[0, 0] + first[0, 1] + smooth[1, 1]) / 3
    assert smooth[0, 1].item() == pytest.approx(top.item())
    rough = plasma(torch.full((4,), 0.7), 33, draws())
    assert rough.shape == (4, 33, 33)
    assert rough.min() >= 0 and rough.max() <= 1
