"""Small models for small images."""

from __future__ import annotations

import math
from collections.abc import Iterator

from attrs import frozen

from harness.components import Facts, Misfit, NoSettings, component, setting
from harness.data.encodings import Features, Images
from harness.errors import HarnessError
from harness.lazy import nn


@frozen
class SmallCNN:
    """Settings of ``small_cnn``."""

    widths: tuple[int, ...] = setting(
        (32, 64, 64), doc="channels of each convolution", unit="channels", gt=0
    )


@component("models", "small_cnn", settings=SmallCNN, source="our own, for images of 8 to 32 pixels")
def small_cnn(settings: SmallCNN, encoding: Images, classes: int) -> nn.Module:
    """3x3 convolutions with BatchNorm and ReLU, each but the last halved; average pool; linear.

    Takes float32 [B, C, H, W], returns logits [B, classes].
    """
    layers: list[nn.Module] = []
    channels, side = encoding.shape[0], min(encoding.shape[1:])
    for position, width in enumerate(settings.widths, 1):
        layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
        if position < len(settings.widths) and side >= 4:
            layers.append(nn.MaxPool2d(2))
            side //= 2
        channels = width
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
    )


@frozen
class MLP:
    """Settings of ``mlp``."""

    hidden: tuple[int, ...] = setting((128,), doc="units of each hidden layer", unit="units", gt=0)


@component(
    "models",
    "mlp",
    settings=MLP,
    source="Rumelhart et al. 1986",
    takes=frozenset({"images", "features"}),
)
def mlp(settings: MLP, encoding: Images | Features, classes: int) -> nn.Module:
    """Fully connected layers with ReLU between.

    float32 [B, C, H, W] or [B, size] to logits [B, classes].
    """
    layers: list[nn.Module] = [nn.Flatten()]
    width = math.prod(encoding.shape)
    for units in settings.hidden:
        layers += [nn.Linear(width, units), nn.ReLU()]
        width = units
    return nn.Sequential(*layers, nn.Linear(width, classes))


@component(
    "models",
    "linear",
    source="softmax regression: one linear layer, as a head on a frozen backbone",
    takes=frozenset({"images", "features"}),
)
def linear(settings: NoSettings, encoding: Images | Features, classes: int) -> nn.Module:
    """float32 [B, C, H, W] or [B, size] to logits [B, classes]."""
    return mlp(MLP(hidden=()), encoding, classes)


def lenet5_misfits(settings: NoSettings, facts: Facts) -> Iterator[Misfit]:
    """Images of another size (trait ``check``)."""
    _, height, width = facts.encoding.shape
    if (height, width) not in ((28, 28), (32, 32)):
        yield Misfit("", f"lenet5 takes images of 28x28 or 32x32 pixels; found {height}x{width}")


@component(
    "models",
    "lenet5",
    source="LeCun et al. 1998, with ReLU and max pooling",
    check=lenet5_misfits,
)
def lenet5(settings: NoSettings, encoding: Images, classes: int) -> nn.Module:
    """Two 5x5 convolutions (6, 16 channels) and linear layers of 120 and 84 units.

    Images of 28 pixels are padded by 2, so that 28 and 32 pixels both give 16x5x5 features.
    float32 [B, C, H, W] to logits [B, classes]. Raises HarnessError for other sizes.
    """
    channels, *sides = encoding.shape
    if sides not in ([28, 28], [32, 32]):
        raise HarnessError(f"lenet5 takes images of 28 or 32 pixels; found {tuple(sides)}")
    padding = 2 if sides[0] == 28 else 0
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=padding), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes),
    )  # fmt: skip
