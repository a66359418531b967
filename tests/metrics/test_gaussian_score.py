"""The Gaussian unlearning score: by hand, against chance, and on models that saw the noise."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from conftest import TINY, Cli
from harness.components import get
from harness.data.encodings import Features, Images, TokenBatch, Tokens
from harness.data.pool import Pool
from harness.data.types import Split
from harness.errors import Diverged
from harness.metrics.evidence import Evidence
from harness.spec.structure import structure_use

COLOURS = Images((3, 4, 4), mean=(0.5, 0.3, 0.2), std=(0.1, 0.4, 1.5))


def score(
    model: nn.Module,
    samples: Split,
    noise: torch.Tensor,
    std: float,
    encoding: Any,
    seed: str = "s",
    **written: Any,
) -> dict[str, float]:
    pool = Pool(samples, torch.arange(len(samples.targets)), encoding=encoding)
    evidence = Evidence(
        models=lambda which: model,
        pools={"corrupted_clean": pool},
        classes=3,
        target_class=None,
        costs={},
        seed=seed,
        corruption={"noise": noise, "std": torch.tensor(std)},
    )
    use = structure_use("metrics", {"name": "gaussian_unlearning_score", **written})
    found: dict[str, float] = get("metrics", use.name).function(evidence, use.settings)
    assert all(type(value) is float for value in found.values())
    return found


def linear(*weights: list[float]) -> nn.Linear:
    model = nn.Linear(len(weights[0]), len(weights), bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor(weights))
    return model


def network(seed: int, shape: tuple[int, ...] = (3, 4, 4)) -> nn.Module:
    """Small, with BatchNorm whose statistics are not those of a batch."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(shape[0], 6, 3), nn.BatchNorm2d(6), nn.CELU(), nn.Flatten(), nn.Linear(24, 3)
    )
    model[1].running_mean.normal_()
    model[1].running_var.uniform_(0.5, 2)
    return model.eval()


def photographs(count: int, seed: int, std: float) -> tuple[Split, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    inputs = torch.randint(0, 256, (count, 3, 4, 4), generator=draws).to(torch.uint8)
    labels = torch.randint(0, 3, (count,), generator=draws)
    return Split(inputs, labels), std * torch.randn(count, 3, 4, 4, generator=draws)


def test_two_classes_in_the_plane_by_hand() -> None:
    # The loss of class 0 falls along the first axis, that of class 1 against it.
    model = linear([1.0, 0.0], [0.0, 0.0])
    noise = torch.tensor([[3.0, 4.0], [-2.0, 7.0], [6.0, 0.0], [0.0, 5.0]])
    samples = Split(torch.randn(4, 2), torch.tensor([0, 1, 0, 1]))
    found = score(model, samples, noise, 2.0, Features(2))
    each = [1.5, 1.0, 3.0, 0.0]
    assert found["gus"] == pytest.approx(sum(each) / 4)
    assert found["gus_raw"] == -found["gus"]
    assert found["gus_z"] == pytest.approx(2 * found["gus"])
    assert found["gus_tpr"] == 0.25, "3 is beyond 2.326"
    lower = score(model, samples, noise, 2.0, Features(2), false_positive_rate=0.1)
    assert lower["gus_tpr"] == 0.5, "1.5 is beyond 1.28"


@pytest.mark.parametrize("batch_size", [4, 64])
def test_a_loop_over_samples_gives_the_same_in_intensities(batch_size: int) -> None:
    samples, noise = photographs(10, 0, 30.0)
    model, each = network(0), []
    exact = network(0).double()
    mean, std = (
        torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (COLOURS.mean, COLOURS.std)
    )
    for stored, label, xi in zip(samples.inputs, samples.targets, noise.double(), strict=True):
        x = stored.double().requires_grad_()
        loss = F.cross_entropy(exact(((x / 255 - mean) / std)[None]), label[None])
        (g,) = torch.autograd.grad(loss, x)
        each.append(float(-(g * xi).sum() / (30 * g.norm())))
    found = score(model, samples, noise, 30.0, COLOURS, batch_size=batch_size)
    assert found["gus"] == pytest.approx(sum(each) / 10, rel=1e-5)
    assert next(model.parameters()).dtype == torch.float32, "the evidence's model is left alone"
    assert found["gus_left_out"] == 0


@settings(max_examples=5)
@given(st.integers(0, 1000))
def test_a_model_that_never_saw_the_noise_scores_as_chance(seed: int) -> None:
    samples, noise = photographs(2000, seed, 20.0)
    model = network(seed + 1)
    for rate in (0.01, 0.16, 0.5, 0.84):  # the whole distribution, not its mean alone
        found = score(model, samples, noise, 20.0, COLOURS, false_positive_rate=rate)
        assert abs(found["gus_tpr"] - rate) < 4 * (rate * (1 - rate) / 2000) ** 0.5
    assert abs(found["gus_z"]) < 4
    assert abs(found["gus_fresh_z"]) < 4


def test_z_is_a_standard_normal_number_over_noises_nobody_saw() -> None:
    samples, _ = photographs(50, 3, 1.0)
    model, found = network(3), []
    for seed in range(40):
        _, noise = photographs(50, 100 + seed, 20.0)
        found.append(score(model, samples, noise, 20.0, COLOURS, seed=str(seed)))
    for name in ("gus_z", "gus_fresh_z"):
        values = torch.tensor([row[name] for row in found])
        assert abs(values.mean()) < 4 / 40**0.5
        assert values.std() == pytest.approx(1.0, abs=0.45)


def vectors(count: int, seed: int, apart: float) -> Split:
    """Three classes, or labels without sense where the centres are not ``apart``."""
    draws = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    centres = apart * torch.randn(3, 64, generator=draws)
    return Split(centres[labels] + torch.randn(count, 64, generator=draws), labels)


def trained(samples: Split, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(40):
        optimizer.zero_grad()
        F.cross_entropy(model(samples.inputs), samples.targets).backward()
        optimizer.step()
    return model.eval()


def test_training_on_the_noise_shows_and_retraining_without_it_does_not() -> None:
    for seed in range(2):
        samples, poisoned = vectors(300, seed, 0.0), torch.arange(200)
        noise = torch.randn(200, 64, generator=torch.Generator().manual_seed(50 + seed))
        shown = samples.inputs.clone()
        shown[poisoned] += noise
        base = trained(Split(shown, samples.targets), seed)
        retrained = trained(samples.at(torch.arange(200, 300)), seed)
        clean = samples.at(poisoned)
        knows, never = (score(m, clean, noise, 1.0, Features(64)) for m in (base, retrained))
        assert knows["gus_z"] > 8
        assert knows["gus_raw"] < 0, "the loss falls along the noise"
        assert knows["gus_tpr"] > never["gus_tpr"]
        assert abs(never["gus_z"]) < 4
        assert abs(knows["gus_fresh_z"]) < 4


def test_at_the_poisoned_input_a_model_that_never_saw_the_noise_is_found_guilty() -> None:
    samples = vectors(800, 0, 0.6)
    model = trained(samples.at(torch.arange(600, 800)), 0)
    clean = samples.at(torch.arange(600))
    noise = 2 * torch.randn(600, 64, generator=torch.Generator().manual_seed(1))
    assert abs(score(model, clean, noise, 2.0, Features(64))["gus_z"]) < 4
    biased: dict[str, Any] = {"evaluate_at": "poisoned", "allow_biased": True}
    found = score(model, clean, noise, 2.0, Features(64), **biased)
    assert found["gus_raw"] * 600**0.5 > 4
    assert abs(found["gus_fresh_z"]) < 4


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_model_that_is_sure_beyond_rounding_scores_as_an_unsure_one(dtype: str) -> None:
    weights = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    inputs = weights.repeat(4, 1)
    samples = Split(inputs, (inputs @ weights.T).argmax(1))
    noise = torch.randn(12, 5, generator=torch.Generator().manual_seed(1))
    own, other = (inputs @ weights.T).topk(2).indices.T
    along = weights[own] - weights[other]  # all that counts where the model is sure
    expected = ((along * noise).sum(1) / along.norm(dim=1)).mean()
    sure = linear(*(1e4 * weights).tolist())
    found = score(sure, samples, noise, 1.0, Features(5), dtype=dtype)
    assert found["gus"] == pytest.approx(float(expected), rel=1e-5)
    assert found["gus_left_out"] == 0


def test_samples_around_which_a_model_is_flat_are_left_out_and_counted() -> None:
    model = nn.Sequential(nn.ReLU(), linear([1.0, 0.0], [0.0, 0.0]))
    samples = Split(torch.tensor([[1.0, 1.0], [-1.0, -1.0]]), torch.tensor([0, 0]))
    noise = torch.tensor([[3.0, 0.0], [9.0, 9.0]])
    found = score(model, samples, noise, 1.0, Features(2))
    assert found["gus_left_out"] == 1
    assert found["gus_z"] == found["gus"] == pytest.approx(3)
    assert found["gus_tpr"] == 1
    with pytest.raises(Diverged, match="answers alike"):
        score(model, samples.at(torch.tensor([1])), noise[1:], 1.0, Features(2))


def test_the_noise_of_text_is_held_against_the_gradient_of_its_embeddings() -> None:
    weight = torch.tensor([2.0, -1.0, 2.0])

    class Mean(nn.Module):
        """The mean embedding of the words, times ``weight``, as the logit of class 0."""

        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(7, 3)

        def forward(self, batch: TokenBatch) -> torch.Tensor:
            assert batch.shift is not None
            shown = (self.words(batch.ids) + batch.shift) * batch.mask[..., None]
            logit = shown.sum(1) @ weight.to(shown) / batch.mask.sum(1)
            return torch.stack([logit, torch.zeros_like(logit)], 1)

    ids = torch.tensor([[1, 2, 3, 4], [5, 6, -1, -1]], dtype=torch.int32)
    noise = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    found = score(Mean(), Split(ids, torch.tensor([0, 0])), noise, 0.5, Tokens(4, 7))
    each = [
        float((own @ weight).sum() / (0.5 * 3 * len(own) ** 0.5))
        for own in (noise[0], noise[1, :2])
    ]
    assert found["gus"] == pytest.approx(sum(each) / 2, rel=1e-5)


def test_the_threshold_is_that_of_the_source() -> None:
    assert NormalDist().inv_cdf(0.99) == pytest.approx(2.326, abs=1e-3)


SPEC = (
    TINY.replace("badnet, patch: 2, place: top_left", "gaussian, std: 0.3")
    .replace("attack_success_rate, unlearned_gain, accuracy_drop", "SCORE")
    .replace('"mean(unlearned_gain, -accuracy_drop)"', "clean_accuracy")
)


@pytest.mark.parametrize(
    ("spec", "metric", "said"),
    [
        (SPEC, "{name: gaussian_unlearning_score, evaluate_at: poisoned}", "allow_biased: true"),
        (
            SPEC.replace("gaussian, std: 0.3", "label_noise"),
            "gaussian_unlearning_score",
            "leaves noise, std (gaussian); found 'label_noise'",
        ),
    ],
)
def test_a_score_that_would_mean_nothing_is_refused_with_its_place(
    cli: Cli, tmp_path: Any, spec: str, metric: str, said: str
) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(spec.replace("SCORE", metric))
    refused = cli("validate", file)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert "metrics[1]" in refused.stderr
