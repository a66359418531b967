"""SENet-18 in the form that code for CIFAR uses."""

from __future__ import annotations

from harness.components import NoSettings, component
from harness.data.encodings import Images
from harness.lazy import nn

REDUCTION = 16  # a gate's hidden layer has one channel for so many


@component(
    "models",
    "senet18",
    source="Hu et al. 2018, on pre-activation blocks (He et al. 2016b), as nets/senet.py in "
    "MLsecurityLab/HowFarAreFromTrueUnlearnability at ea9a4a6; 37 convolutions and linear layers",
)
def senet18(settings: NoSettings, encoding: Images, classes: int) -> nn.Module:
    """Eight pre-activation blocks of 64 to 512 channels, each scaled by squeeze and excitation.

    float32 [B, C, H, W] to logits [B, classes]. Every convolution but those of the gates is without
    bias; the stem is 3x3 with BatchNorm, and no BatchNorm follows the last block.
    """
    from harness.models._layers import Gated, Residual

    def gate(width: int) -> nn.Module:
        hidden = width // REDUCTION
        return nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, hidden, 1), nn.ReLU(),
            nn.Conv2d(hidden, width, 1), nn.Sigmoid(),
        )  # fmt: skip

    def block(inputs: int, width: int, stride: int) -> nn.Module:
        first = [nn.BatchNorm2d(inputs), nn.ReLU()]
        body = [
            nn.Conv2d(inputs, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False), Gated(gate(width)),
        ]  # fmt: skip
        if stride == 1 and inputs == width:
            return Residual(nn.Sequential(*first, *body))
        shortcut = nn.Conv2d(inputs, width, 1, stride, bias=False)
        return nn.Sequential(*first, Residual(nn.Sequential(*body), shortcut))

    blocks, channels = list[nn.Module](), 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        blocks += [block(channels, width, stride), block(width, width, 1)]
        channels = width
    stem = nn.Conv2d(encoding.shape[0], 64, 3, 1, 1, bias=False)
    return nn.Sequential(
        nn.Sequential(stem, nn.BatchNorm2d(64), nn.ReLU()),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, classes),
    )
