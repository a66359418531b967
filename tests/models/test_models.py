"""Architectures: sizes that are published, and shapes."""

from __future__ import annotations

import pytest
import torch

from harness.components import get, load
from harness.data.encodings import Images
from harness.errors import HarnessError
from harness.spec.structure import structure_use


def build(name: str, shape: tuple[int, ...], classes: int, **settings: object) -> torch.nn.Module:
    encoding = Images(shape, (0.5,) * shape[0], (0.25,) * shape[0])
    use = structure_use("models", {"name": name, **settings})
    return get("models", name).function(use.settings, encoding, classes)


@pytest.mark.parametrize(
    ("name", "classes", "parameters"),
    [("resnet9", 10, 2_276_224), ("resnet9", 100, 2_287_744), ("wide_resnet", 100, 36_547_940)],
)
def test_models_have_the_published_number_of_parameters(
    name: str, classes: int, parameters: int
) -> None:
    with torch.device("meta"):
        model = build(name, (3, 32, 32), classes)
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "shape", "settings"),
    [
        ("small_cnn", (1, 8, 8), {}),
        ("mlp", (3, 5, 5), {}),
        ("lenet5", (1, 28, 28), {}),
        ("lenet5", (3, 32, 32), {}),
        ("resnet9", (3, 32, 32), {"width": 4}),
        ("wide_resnet", (3, 32, 32), {"depth": 10, "widen": 1}),
        ("resnet18", (1, 32, 32), {}),
        ("torchvision", (3, 64, 64), {"arch": "squeezenet1_0"}),
    ],
)
def test_every_model_gives_a_logit_for_each_class(name: str, shape: tuple, settings: dict) -> None:
    logits = build(name, shape, 7, **settings)(torch.zeros(2, *shape))
    assert logits.shape == (2, 7)


def test_every_model_is_tested_here_or_optional() -> None:
    backbones = {name for name, known in load("models").items() if known.traits.gives}
    assert set(load("models")) - backbones == {
        "small_cnn", "mlp", "linear", "lenet5", "resnet9", "wide_resnet", "resnet18", "torchvision", "timm",
        "gpt2", "key_value_bottleneck", "senet18", "vit_small", "multi_task",
    }  # fmt: skip


def test_biases_start_at_zero_where_the_published_code_zeroes_them() -> None:
    model = build("resnet9", (3, 32, 32), 10, width=4)
    convolutions = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(m.bias is not None and not m.bias.any() for m in convolutions)


def test_unknown_architectures_and_sizes_are_named() -> None:
    with pytest.raises(HarnessError, match="did you mean 'resnet50'"):
        build("torchvision", (3, 32, 32), 10, arch="resnet5O")
    with pytest.raises(HarnessError, match="6n \\+ 4"):
        build("wide_resnet", (3, 32, 32), 10, depth=29)
    with pytest.raises(HarnessError, match="28 or 32"):
        build("lenet5", (1, 8, 8), 10)
    with pytest.raises(HarnessError, match="CIFAR stem"):
        build("torchvision", (3, 32, 32), 10, arch="vgg11", cifar_stem=True)


def test_timm_by_name_or_a_word_on_how_to_install_it() -> None:
    try:
        import timm  # noqa: F401
    except ImportError:
        with pytest.raises(HarnessError, match="pip install"):
            build("timm", (3, 32, 32), 10, arch="resnet18")
        return
    assert build("timm", (3, 32, 32), 4, arch="resnet10t")(torch.zeros(2, 3, 32, 32)).shape == (
        2,
        4,
    )
    with pytest.raises(HarnessError, match="timm has no model"):
        build("timm", (3, 32, 32), 10, arch="no_such_net")
