"""Defences that change the stored training images once, before training.

Each is given all training images, uint8 [N, C, H, W], and their labels int64 [N].
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

from attrs import frozen

from harness.components import Facts, Misfit, NoSettings, component, setting
from harness.lazy import F, torch

PART = 4096  # images that are computed with at a time, for the sake of memory
PILLOW = (19595, 38470, 7471)  # its weights of red, green and blue, of 65,536


def _in_parts(
    function: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor
) -> torch.Tensor:
    return torch.cat([function(part) for part in images.split(PART)])


@frozen
class Jpeg:
    """Settings of ``jpeg``."""

    quality: int = setting(10, doc="quality of the JPEG encoder", ge=1, le=95)


def colour_misfits(settings: object, facts: Facts) -> Iterator[Misfit]:
    """Images that are neither grey nor coloured (trait ``check``)."""
    channels = facts.encoding.shape[0]
    if channels not in (1, 3):
        yield Misfit("", f"takes images of 1 or 3 channels; the data set has {channels}")


@component(
    "augmentations",
    "jpeg",
    settings=Jpeg,
    source="image shortcut squeezing, Liu et al., ICML 2023, arXiv 2301.13838; quality as in "
    "liuzrcc/ImageShortcutSqueezing and lafeat/apbench",
    over="training set",
    check=colour_misfits,
)
def jpeg(
    images: torch.Tensor, labels: torch.Tensor, settings: Jpeg, generator: torch.Generator
) -> torch.Tensor:
    """Compress each image as JPEG and open it again, with Pillow's defaults (chroma 4:2:0).

    uint8 [N, 1 or 3, H, W] in and out.
    """
    import numpy
    from PIL import Image

    found = torch.empty_like(images)
    for place, image in enumerate(images.permute(0, 2, 3, 1).numpy()):
        file = io.BytesIO()
        flat = numpy.ascontiguousarray(image[..., 0] if image.shape[2] == 1 else image)
        Image.fromarray(flat).save(file, "JPEG", quality=settings.quality)
        opened = torch.from_numpy(numpy.array(Image.open(file)))
        found[place] = opened[None] if opened.ndim == 2 else opened.permute(2, 0, 1)
    return found


@component(
    "augmentations",
    "grayscale",
    source="image shortcut squeezing, Liu et al., ICML 2023, arXiv 2301.13838",
    over="training set",
    check=colour_misfits,
)
def grayscale(
    images: torch.Tensor, labels: torch.Tensor, settings: NoSettings, generator: torch.Generator
) -> torch.Tensor:
    """Put each pixel's brightness into all three channels, rounded as Pillow does.

    uint8 [N, 3, H, W] in and out; images of one channel are what they were.
    """
    if images.shape[1] == 1:
        return images
    weights = torch.tensor(PILLOW, dtype=torch.int32).view(1, 3, 1, 1)

    def grey(part: torch.Tensor) -> torch.Tensor:
        brightness = ((part.int() * weights).sum(1, keepdim=True) + 2**15) // 2**16
        return brightness.to(torch.uint8).expand_as(part)

    return _in_parts(grey, images)


@frozen
class BitDepth:
    """Settings of ``bit_depth``."""

    bits: int = setting(2, doc="bits of an intensity that are kept", unit="bits", ge=1, le=8)


@component(
    "augmentations",
    "bit_depth",
    settings=BitDepth,
    source="image shortcut squeezing (bit-depth reduction), Liu et al., ICML 2023, arXiv "
    "2301.13838; bits as in lafeat/apbench, util.py",
    over="training set",
)
def bit_depth(
    images: torch.Tensor, labels: torch.Tensor, settings: BitDepth, generator: torch.Generator
) -> torch.Tensor:
    """Set all but the highest ``bits`` bits of each intensity to 0, as posterising does.

    uint8 [N, C, H, W] in and out.
    """
    return images & (256 - 2 ** (8 - settings.bits))


@frozen
class GaussianBlur:
    """Settings of ``gaussian_blur``."""

    radius: int = setting(1, doc="of the kernel, which has 2 radius + 1 entries", gt=0)
    sigma: float = setting(0.1, doc="standard deviation; 0.1 changes nothing", unit="pixels", gt=0)


def blur_misfits(settings: GaussianBlur, facts: Facts) -> Iterator[Misfit]:
    """A kernel that reaches beyond the reflected image (trait ``check``)."""
    _, height, width = facts.encoding.shape
    if settings.radius >= min(height, width):
        what = f"{settings.radius} pixels cannot be reflected in images of {height}x{width}"
        yield Misfit("radius", what)


@component(
    "augmentations",
    "gaussian_blur",
    settings=GaussianBlur,
    source="lafeat/apbench, util.py: kernel 3 and sigma 0.1, whose outer weights are 2e-22",
    over="training set",
    check=blur_misfits,
)
def gaussian_blur(
    images: torch.Tensor, labels: torch.Tensor, settings: GaussianBlur, generator: torch.Generator
) -> torch.Tensor:
    """Weigh each pixel with its neighbours, borders reflected, and round.

    uint8 [N, C, H, W] in and out.
    """
    reach = torch.arange(-settings.radius, settings.radius + 1).double()
    weights = torch.exp(-(reach**2) / (2 * settings.sigma**2))
    line = (weights / weights.sum()).float()
    kernel = torch.outer(line, line)[None, None]

    def blurred(part: torch.Tensor) -> torch.Tensor:
        single = part.flatten(0, 1)[:, None].float()
        padded = F.pad(single, [settings.radius] * 4, mode="reflect")
        return F.conv2d(padded, kernel).round().clamp(0, 255).view(part.shape).to(torch.uint8)

    return _in_parts(blurred, images)


@frozen
class OrthogonalProjection:
    """Settings of ``orthogonal_projection``."""

    epochs: int = setting(20, doc="of the linear model's training", unit="epochs", gt=0)
    lr: float = setting(0.1, doc="its learning rate, a tenth from 50 % and 75 % of epochs on", gt=0)
    batch_size: int = setting(1024, doc="samples of one of its steps", unit="samples", gt=0)


@component(
    "augmentations",
    "orthogonal_projection",
    settings=OrthogonalProjection,
    source="Sandoval-Segura et al., What Can We Learn from Unlearnable Datasets?, NeurIPS 2023, "
    "arXiv 2305.19254, section 4.4; psandovalsegura/learn-from-unlearnable",
    over="training set",
)
def orthogonal_projection(
    images: torch.Tensor,
    labels: torch.Tensor,
    settings: OrthogonalProjection,
    generator: torch.Generator,
) -> torch.Tensor:
    """Take from the images what a linear classifier of their pixels has learned.

    uint8 [N, C, H, W] in, float32 out, neither rounded nor clipped. The classifier has no bias and
    is trained by SGD on pixels in [0, 1], in the order of the images; with the orthonormal basis Q
    [pixels, classes] of its weights, an image x becomes x - Q Q'x. Made against noise that is the
    same for all images of a class.
    """
    classes, pixels, size = int(labels.max()) + 1, images[0].numel(), settings.batch_size
    weights = (2 * torch.rand(classes, pixels, generator=generator) - 1) / pixels**0.5
    for epoch in range(settings.epochs):
        later = sum(epoch >= int(share * settings.epochs) for share in (0.5, 0.75))
        for part, right in zip(images.split(size), labels.split(size), strict=True):
            x = part.flatten(1).float() / 255
            wrong = (x @ weights.T).softmax(1) - F.one_hot(right, classes)
            weights -= settings.lr * 0.1**later * wrong.T @ x / len(x)
    basis = torch.linalg.qr(weights.T).Q

    def projected(part: torch.Tensor) -> torch.Tensor:
        x = part.flatten(1).float()
        return (x - (x @ basis) @ basis.T).view(part.shape)

    return _in_parts(projected, images)
