"""Architectures against parameter counts worked by hand, and the sizes of image they take."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.components import get
from harness.data.encodings import Images
from harness.errors import HarnessError
from harness.models._layers import Residual
from harness.spec.structure import structure_use


def build(name: str, shape: tuple[int, ...], classes: int, **chosen: object) -> nn.Module:
    encoding = Images(shape, (0.5,) * shape[0], (0.25,) * shape[0])
    use = structure_use("models", {"name": name, **chosen})
    return get("models", name).function(use.settings, encoding, classes)


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_small_cnn_has_its_hand_counted_parameters() -> None:
    # convolution without bias + BatchNorm's two, twice; linear with bias
    expected = (1 * 9 * 4 + 2 * 4) + (4 * 9 * 6 + 2 * 6) + (6 * 10 + 10)
    assert count(build("small_cnn", (1, 8, 8), 10, widths=[4, 6])) == expected


def test_mlp_has_its_hand_counted_parameters() -> None:
    expected = (75 * 8 + 8) + (8 * 5 + 5) + (5 * 3 + 3)
    assert count(build("mlp", (3, 5, 5), 3, hidden=[8, 5])) == expected


@pytest.mark.parametrize("side", [28, 32])
def test_lenet5_has_the_61706_parameters_of_its_description(side: int) -> None:
    # 156 + 2416 + 48120 + 10164 + 850
    assert count(build("lenet5", (1, side, side), 10)) == 61_706


def test_resnet18_with_a_cifar_stem_has_the_known_11173962_parameters() -> None:
    with torch.device("meta"):
        assert count(build("resnet18", (3, 32, 32), 10)) == 11_173_962
        plain = build("resnet18", (3, 224, 224), 1000, cifar_stem=False)
    assert count(plain) == 11_689_512  # torchvision's documented number


def layers(model: nn.Module) -> int:
    return sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in model.modules())


def test_networks_of_the_unlearnability_code_have_the_layers_that_it_counts() -> None:
    residual = {"arch": "resnet50", "cifar_stem": True}
    with torch.device("meta"):
        assert layers(build("resnet18", (3, 32, 32), 10)) == 21
        assert layers(build("torchvision", (3, 32, 32), 10, **residual)) == 54
        assert layers(build("senet18", (3, 32, 32), 10)) == 37


def test_senet18_has_its_hand_counted_parameters() -> None:
    expected, channels = 3 * 9 * 64 + 2 * 64, 64
    for width in (64, 64, 128, 128, 256, 256, 512, 512):
        expected += 2 * channels + 9 * channels * width + 2 * width + 9 * width * width
        expected += width * (width // 16) + width // 16 + (width // 16) * width + width
        expected += channels * width if channels != width else 0
        channels = width
    with torch.device("meta"):
        assert count(build("senet18", (3, 32, 32), 10)) == expected + 5130 == 11_260_354


def test_vit_small_has_its_hand_counted_parameters() -> None:
    patches = 2 * 240 + 240 * 512 + 512  # the image and four shifts of it, 3 x 16 values each
    attention = 2 * 512 + 1 + 3 * 512 * 512 + 512 * 512 + 512
    hidden = 2 * 512 + 2 * (512 * 512 + 512)
    expected = patches + 512 + 65 * 512 + 6 * (attention + hidden) + 2 * 512 + 5130
    with torch.device("meta"):
        model = build("vit_small", (3, 32, 32), 10)
        assert count(model) == expected
        assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_a_token_of_vit_small_sees_its_patch_and_the_pixels_beside_it() -> None:
    patches = build("vit_small", (1, 8, 8), 2, width=8, heads=2, depth=1).patches
    seen = list[torch.Tensor]()
    patches.token.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    image = torch.arange(64.0).view(1, 1, 8, 8)
    patches(image)
    own, right, left, down, up = seen[0][0, 0].view(5, 4, 4)
    assert torch.equal(own, image[0, 0, :4, :4])
    assert torch.equal(down[1:], own[:-1]) and not down[0].any()
    assert torch.equal(up, image[0, 0, 1:5, :4])
    assert torch.equal(right[:, 1:], own[:, :-1]) and not right[:, 0].any()
    assert torch.equal(left, image[0, 0, :4, 1:5])


def test_no_token_of_vit_small_attends_to_itself() -> None:
    attention = build("vit_small", (1, 8, 8), 2, width=8, heads=2, depth=1).blocks[0][0].body[1]
    x = torch.randn(1, 2, 8)
    value = attention.eval().project(x)[..., 16:]
    torch.testing.assert_close(attention(x), attention.out(value.flip(1)))  # each sees the other


@pytest.mark.parametrize(("depth", "widen"), [(10, 1), (16, 2), (28, 1)])
def test_wide_resnet_has_its_hand_counted_parameters(depth: int, widen: int) -> None:
    expected, channels = 3 * 9 * 16 + 16, 16
    for stage, width in enumerate((16 * widen, 32 * widen, 64 * widen)):
        for position in range((depth - 4) // 6):
            expected += 2 * channels + (9 * channels * width + width)
            expected += 2 * width + (9 * width * width + width)
            if channels != width or (stage > 0 and position == 0):
                expected += (channels * width + width) + 2 * width
            channels = width
    with torch.device("meta"):
        model = build("wide_resnet", (3, 32, 32), 7, depth=depth, widen=widen)
    assert count(model) == expected + channels * 7 + 7


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize(
    ("name", "shape", "chosen"),
    [
        ("small_cnn", (1, 8, 8), {}),
        ("small_cnn", (3, 32, 32), {"widths": [4, 4, 4, 4, 4, 4]}),
        ("mlp", (1, 8, 8), {}),
        ("lenet5", (1, 28, 28), {}),
        ("resnet9", (3, 32, 32), {"width": 2}),
        ("resnet9", (3, 12, 12), {"width": 2}),
        ("wide_resnet", (3, 32, 32), {"depth": 16, "widen": 1}),
        ("resnet18", (3, 32, 32), {}),
    ],
)
def test_logits_are_finite_and_every_parameter_gets_a_gradient(
    name: str, shape: tuple[int, ...], chosen: dict, mode: bool
) -> None:
    model = build(name, shape, 5, **chosen).train(mode)
    images = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    logits = model(images)
    assert logits.shape == (3, 5)
    assert logits.isfinite().all()
    if mode:
        nn.functional.cross_entropy(logits, torch.tensor([0, 1, 4])).backward()
        assert all(p.grad is not None for p in model.parameters())


def test_an_evaluated_model_answers_each_image_by_itself() -> None:
    model = build("resnet9", (3, 16, 16), 4, width=4).eval()
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = model(images)
        alone = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(whole, alone, atol=1e-5, rtol=1e-4)


def test_a_residual_adds_what_its_body_gives_to_its_shortcut() -> None:
    x = torch.tensor([1.0, 2.0])
    double, negative = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
    nn.init.eye_(double.weight).data.mul_(2)
    nn.init.eye_(negative.weight).data.mul_(-1)
    assert Residual(double)(x).tolist() == [3, 6]
    assert Residual(double, negative)(x).tolist() == [1, 2]


def test_resnet9_ends_in_a_linear_layer_without_bias_and_uses_celu() -> None:
    model = build("resnet9", (3, 32, 32), 10, width=2)
    [linear] = [m for m in model.modules() if isinstance(m, nn.Linear)]
    assert linear.bias is None
    alphas = {m.alpha for m in model.modules() if isinstance(m, nn.CELU)}
    assert alphas == {0.075}


@pytest.mark.parametrize(("height", "width"), [(12, 12), (13, 20), (32, 32), (31, 48)])
def test_resnet9_takes_the_maximum_of_all_features(height: int, width: int) -> None:
    # AdaptiveMaxPool2d, which the published code calls, has no deterministic backward on CUDA.
    def gradients(published: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = build("resnet9", (3, height, width), 5, width=2)
        assert not any(isinstance(m, nn.AdaptiveMaxPool2d) for m in model.modules())
        if published:
            model[7] = nn.AdaptiveMaxPool2d(1)
        logits = model(torch.randn(3, 3, height, width))
        nn.functional.cross_entropy(logits, torch.tensor([0, 1, 4])).backward()
        return [logits.detach(), *(p.grad for p in model.parameters())]

    for found, expected in zip(gradients(False), gradients(True), strict=True):
        assert torch.equal(found, expected)


def test_wide_resnet_starts_with_biases_of_zero() -> None:
    model = build("wide_resnet", (3, 32, 32), 10, depth=10, widen=1)
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert all(m.bias is not None and not m.bias.any() for m in layers)


@pytest.mark.parametrize(
    ("name", "shape", "chosen", "words"),
    [
        ("resnet9", (3, 11, 32), {}, "at least 12 pixels"),
        ("lenet5", (1, 28, 32), {}, "28 or 32 pixels"),
        ("wide_resnet", (3, 32, 32), {"depth": 11}, "depth must be 6n"),
        ("torchvision", (1, 32, 32), {"arch": "mobilenet_v2"}, "3 channels; found 1"),
        ("torchvision", (3, 32, 32), {"arch": "nothing_like_it"}, "no model 'nothing_like_it'$"),
        ("torchvision", (3, 32, 32), {"arch": "resnet_18"}, "did you mean 'resnet18'"),
    ],
)
def test_what_a_model_does_not_take_is_named(
    name: str, shape: tuple[int, ...], chosen: dict, words: str
) -> None:
    with pytest.raises(HarnessError, match=words):
        build(name, shape, 10, **chosen)


def test_a_timm_name_that_is_nearly_right_is_answered_with_the_right_one() -> None:
    pytest.importorskip("timm")
    with pytest.raises(
        HarnessError, match="timm has no model 'resnet10'; did you mean 'resnet10t'"
    ):
        build("timm", (3, 32, 32), 10, arch="resnet10")


def test_a_timm_model_takes_the_channels_of_the_data() -> None:
    pytest.importorskip("timm")
    assert build("timm", (1, 32, 32), 3, arch="resnet10t")(torch.zeros(2, 1, 32, 32)).shape == (
        2,
        3,
    )
