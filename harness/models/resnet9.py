"""ResNet-9 of the corrective unlearning benchmark and Potion."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from harness.components import Facts, Misfit, component, setting
from harness.data.encodings import Images
from harness.errors import HarnessError
from harness.lazy import nn

SMALLEST = 12  # pixels of a side


@frozen
class ResNet9:
    """Settings of ``resnet9``."""

    width: int = setting(
        64, doc="channels of the first unit; the others are 2 and 4 times it", unit="channels", gt=0
    )


def misfits(settings: ResNet9, facts: Facts) -> Iterator[Misfit]:
    """Images too small for its layers (trait ``check``)."""
    _, height, width = facts.encoding.shape
    if min(height, width) < SMALLEST:
        what = f"resnet9 takes images of at least {SMALLEST} pixels; found {height}x{width}"
        yield Misfit("", what)


@component(
    "models",
    "resnet9",
    settings=ResNet9,
    source="Potion's code, src/resnet.py (protocol section 3); 2,276,224 parameters for 10 classes",
    check=misfits,
)
def resnet9(settings: ResNet9, encoding: Images, classes: int) -> nn.Module:
    """Units of convolution (bias), BatchNorm and CELU(0.075), two of them residual pairs.

    float32 [B, C, H, W] with H, W >= 12 to logits [B, classes]; linear layer
    without bias; biases start at zero.
    """
    from harness.models._layers import Residual, zero_biases

    channels, *sides = encoding.shape
    if min(sides) < SMALLEST:
        found = tuple(sides)
        raise HarnessError(f"resnet9 takes images of at least {SMALLEST} pixels; found {found}")

    def unit(
        inputs: int, outputs: int, kernel: int = 3, stride: int = 1, padding: int = 1
    ) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel, stride, padding),
            nn.BatchNorm2d(outputs),
            nn.CELU(0.075),
        )

    # The last features: halved by the stride, halved by the pool, less the border. A window of
    # their size is the global maximum; AdaptiveMaxPool2d has no deterministic backward on CUDA.
    window = tuple((side + 1) // 4 - 2 for side in sides)
    w = settings.width
    model = nn.Sequential(
        unit(channels, w),
        unit(w, 2 * w, kernel=5, stride=2, padding=2),
        Residual(nn.Sequential(unit(2 * w, 2 * w), unit(2 * w, 2 * w))),
        unit(2 * w, 4 * w),
        nn.MaxPool2d(2),
        Residual(nn.Sequential(unit(4 * w, 4 * w), unit(4 * w, 4 * w))),
        unit(4 * w, 2 * w, padding=0),
        nn.MaxPool2d(window),
        nn.Flatten(),
        nn.Linear(2 * w, classes, bias=False),
    )
    return zero_biases(model)
