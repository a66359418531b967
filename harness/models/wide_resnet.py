"""The wide residual network that Potion uses for CIFAR-100."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from harness.components import Facts, Misfit, component, setting
from harness.data.encodings import Images
from harness.errors import HarnessError
from harness.lazy import nn


@frozen
class WideResNet:
    """Settings of ``wide_resnet``."""

    depth: int = setting(28, doc="6n + 4 convolutions", unit="layers", ge=10)
    widen: int = setting(10, doc="factor on the widths 16, 32, 64", gt=0)


def misfits(settings: WideResNet, facts: Facts) -> Iterator[Misfit]:
    """A depth that no number of blocks gives (trait ``check``)."""
    if (settings.depth - 4) % 6:
        yield Misfit("depth", f"depth must be 6n + 4; found {settings.depth}")


@component(
    "models",
    "wide_resnet",
    settings=WideResNet,
    source="Potion's code, src/resnet.py (protocol section 3), after Zagoruyko and Komodakis 2016; "
    "36,547,940 parameters for WRN-28-10 and 100 classes",
    check=misfits,
)
def wide_resnet(settings: WideResNet, encoding: Images, classes: int) -> nn.Module:
    """Pre-activation blocks without a final BatchNorm; stride in the second convolution.

    float32 [B, C, 32, 32] to logits [B, classes]. Differs from the original network: convolutions
    have biases, shortcuts end in BatchNorm, no BatchNorm or ReLU before the average pool.

    Raises:
        HarnessError: the depth is not 6n + 4.
    """
    from harness.models._layers import Residual, zero_biases

    if (settings.depth - 4) % 6:
        raise HarnessError(f"wide_resnet: depth must be 6n + 4; found {settings.depth}")

    def block(inputs: int, outputs: int, stride: int) -> nn.Module:
        body = nn.Sequential(
            nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, outputs, 3, 1, 1),
            nn.BatchNorm2d(outputs), nn.ReLU(), nn.Conv2d(outputs, outputs, 3, stride, 1),
        )  # fmt: skip
        if stride == 1 and inputs == outputs:
            return Residual(body)
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
        return Residual(body, shortcut)

    widths = [16 * settings.widen, 32 * settings.widen, 64 * settings.widen]
    blocks, channels = [], 16
    for stage, width in enumerate(widths):
        for position in range((settings.depth - 4) // 6):
            stride = 2 if stage > 0 and position == 0 else 1
            blocks.append(block(channels, width, stride))
            channels = width
    return zero_biases(
        nn.Sequential(
            nn.Conv2d(encoding.shape[0], 16, 3, 1, 1),
            *blocks,
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels, classes),
        )
    )
