"""Models of torchvision and timm, by their names there."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import attrs
from attrs import frozen

from harness.components import Facts, Misfit, component, setting
from harness.data.encodings import Images
from harness.data.vision import load_torchvision
from harness.errors import HarnessError, RemoteError, nearest
from harness.lazy import nn

RESNETS = ("resnet", "resnext", "wide_resnet")  # whose first convolution is called conv1


@frozen
class Torchvision:
    """Settings of ``torchvision``."""

    arch: str = setting(
        doc="name of a classification model in torchvision.models", example="resnet18"
    )
    cifar_stem: bool = setting(
        False, doc="of a ResNet: 3x3 stride-1 first convolution and no max pooling"
    )


def misfits(settings: Torchvision, facts: Facts) -> Iterator[Misfit]:
    """Images that are not in colour, or a stem of another network (trait ``check``)."""
    if settings.cifar_stem:
        if not settings.arch.startswith(RESNETS):
            what = f"{settings.arch} has no ResNet stem to replace by a CIFAR stem"
            yield Misfit("cifar_stem", what)
    elif facts.encoding.shape[0] != 3:
        found = facts.encoding.shape[0]
        what = f"torchvision's {settings.arch} takes images of 3 channels; found {found}"
        yield Misfit("arch", what)


@component(
    "models", "torchvision", settings=Torchvision, source="torchvision.models", check=misfits
)
def torchvision_model(settings: Torchvision, encoding: Images, classes: int) -> nn.Module:
    """Any classification model of torchvision, with new weights.

    float32 [B, C, H, W] to logits [B, classes]; C must be 3, except with ``cifar_stem``.

    Raises:
        HarnessError: no such model, other than three channels, or a stem is asked for that the
            model does not have.
    """
    load_torchvision()
    import torchvision.models

    module = torchvision.models
    names = module.list_models(module=module)
    if settings.arch not in names:
        raise HarnessError(
            f"torchvision has no model {settings.arch!r}{nearest(settings.arch, names)}"
        )
    channels = encoding.shape[0]
    if channels != 3 and not settings.cifar_stem:
        raise HarnessError(
            f"torchvision's {settings.arch} takes images of 3 channels; found {channels}"
        )
    # These two train with a second head, whose logits the recipe has no weight for.
    single = {"aux_logits": False} if settings.arch in ("googlenet", "inception_v3") else {}
    model: nn.Module = module.get_model(settings.arch, weights=None, num_classes=classes, **single)
    if settings.cifar_stem:
        stem = getattr(model, "conv1", None)
        if not isinstance(stem, nn.Conv2d) or not hasattr(model, "maxpool"):
            raise HarnessError(f"{settings.arch} has no ResNet stem to replace by a CIFAR stem")
        model.conv1 = nn.Conv2d(channels, stem.out_channels, 3, padding=1, bias=False)
        model.maxpool = nn.Identity()
    return model


@frozen
class ResNet18:
    """Settings of ``resnet18``."""

    cifar_stem: bool = setting(
        True, doc="3x3 stride-1 first convolution and no max pooling, for images of 32 pixels"
    )


def _resnet18(settings: ResNet18) -> Torchvision:
    return Torchvision(arch="resnet18", cifar_stem=settings.cifar_stem)


def resnet18_misfits(settings: ResNet18, facts: Facts) -> Iterator[Misfit]:
    """Images that are not in colour, without the stem that takes any (trait ``check``)."""
    for misfit in misfits(_resnet18(settings), facts):
        yield attrs.evolve(misfit, setting="cifar_stem")


@component(
    "models",
    "resnet18",
    settings=ResNet18,
    source="He et al. 2016; torchvision's resnet18",
    check=resnet18_misfits,
)
def resnet18(settings: ResNet18, encoding: Images, classes: int) -> nn.Module:
    """torchvision's ResNet-18 with new weights. float32 [B, C, H, W] to logits [B, classes]."""
    return torchvision_model(_resnet18(settings), encoding, classes)


def load_timm() -> ModuleType:
    """The timm module. Raises HarnessError where it is not installed."""
    load_torchvision()
    try:
        import timm
    except ImportError:
        raise HarnessError(
            "timm is not installed: pip install 'harness-unlearning[timm]'"
        ) from None
    module: ModuleType = timm
    return module


@frozen
class Timm:
    """Settings of ``timm``."""

    arch: str = setting(doc="name of a model in timm", example="resnet18")
    pretrained: bool = setting(False, doc="start from timm's weights, from the Hub or its cache")


@component(
    "models",
    "timm",
    settings=Timm,
    source="timm (Wightman)",
    architecture=lambda settings: attrs.evolve(settings, pretrained=False),
)
def timm_model(settings: Timm, encoding: Images, classes: int) -> nn.Module:
    """Any classification model of timm. float32 [B, C, H, W] to logits [B, classes].

    Raises:
        HarnessError: timm is not installed, has no such model, or no weights of it on the Hub.
        RemoteError: its weights could not be had.
    """
    timm = load_timm()
    if not timm.is_model(settings.arch):
        raise HarnessError(
            f"timm has no model {settings.arch!r}{nearest(settings.arch, timm.list_models())}"
        )
    known = timm.get_pretrained_cfg(settings.arch)
    if settings.pretrained and not getattr(known, "hf_hub_id", None):
        raise HarnessError(f"timm has no weights of {settings.arch!r} on the Hub")
    channels = encoding.shape[0]
    try:
        model: nn.Module = timm.create_model(
            settings.arch, pretrained=settings.pretrained, num_classes=classes, in_chans=channels
        )
    except OSError as problem:
        raise RemoteError(f"the weights of {settings.arch!r} are not here: {problem}") from None
    return model
