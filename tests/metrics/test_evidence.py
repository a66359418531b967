"""What metrics rest on: outputs computed once, finite, and compared the right way round."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy

from harness.components import get
from harness.data.encodings import Images
from harness.data.pool import Pool
from harness.data.types import Split
from harness.errors import HarnessError
from harness.metrics.evidence import Evidence
from harness.spec.structure import structure_use

ENCODING = Images((1, 1, 1), mean=(0.0,), std=(1.0,))


class Table(torch.nn.Module):
    """Row i of ``logits`` for a 1x1 image of intensity i; counts how often it is asked."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(logits)
        self.asked = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.asked += 1
        return self.logits[(x.flatten(1)[:, 0] * 255).round().long()]


def pool(start: int, labels: torch.Tensor) -> Pool:
    images = torch.arange(start, start + len(labels), dtype=torch.uint8).view(-1, 1, 1, 1)
    every = torch.arange(len(labels))
    return Pool(Split(images, labels), every, encoding=ENCODING)


def evidence(models: dict[str, Table], pools: dict[str, Pool]) -> Evidence:
    costs = {"base": {"forward": 10, "backward": 10}, "method": {"forward": 6, "backward": 3}}
    return Evidence(
        models=models.__getitem__, pools=pools, classes=3, target_class=0, costs=costs, seed="s"
    )


def measure(name: str, found: Evidence, **settings: object) -> dict[str, float]:
    use = structure_use("metrics", {"name": name, **settings})
    values: dict[str, float] = get("metrics", name).function(found, use.settings)
    assert all(type(value) is float for value in values.values())
    return values


LABELS = torch.tensor([0, 1, 2, 1])


def test_the_outputs_of_a_split_are_computed_once() -> None:
    table = Table(torch.eye(4, 3))
    found = evidence({"unlearned": table}, {"test": pool(0, LABELS)})
    assert found.logits("test") is found.logits("test")
    assert table.asked == 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "name", ["clean_accuracy", "attack_success_rate", "healed", "membership_inference"]
)
def test_a_model_whose_outputs_are_not_finite_gets_no_number(name: str, bad: float) -> None:
    logits = torch.zeros(4, 3)
    logits[2, 1] = bad
    same = pool(0, LABELS)
    pools = {"test": same, "test_triggered": same, "forget": same}
    with pytest.raises(HarnessError, match="the unlearned model diverged"):
        measure(name, evidence({"unlearned": Table(logits)}, pools))


def test_the_divergence_is_that_of_the_retrained_from_the_unlearned_model() -> None:
    draws = torch.Generator().manual_seed(1)
    unlearned, reference = 3 * torch.randn(2, 4, 3, generator=draws)
    found = evidence(
        {"unlearned": Table(unlearned), "reference": Table(reference)}, {"test": pool(0, LABELS)}
    )
    q, p = softmax(unlearned.double().numpy(), 1), softmax(reference.double().numpy(), 1)
    right, wrong = entropy(p.T, q.T).mean(), entropy(q.T, p.T).mean()
    assert abs(right - wrong) > 0.05, "the example must tell both directions apart"
    assert measure("retrain_distance", found)["kl_to_retrain"] == pytest.approx(right, rel=1e-6)


def test_cost_counts_a_backward_pass_of_the_method_twice() -> None:
    assert measure("cost", evidence({}, {}))["cost_share"] == (6 + 2 * 3) / (10 + 2 * 10)


def membership(shift: float, members: int = 60, others: int = 100) -> dict[str, float]:
    """Outputs that favour the true label by ``shift`` more on members; the split is unequal."""
    draws = np.random.default_rng(0)
    labels = torch.arange(members + others) % 3
    logits = torch.tensor(draws.normal(size=(members + others, 3)), dtype=torch.float32)
    logits[torch.arange(members), labels[:members]] += shift
    pools = {"forget": pool(0, labels[:members]), "test": pool(members, labels[members:])}
    return measure("membership_inference", evidence({"unlearned": Table(logits)}, pools))


def test_membership_inference_is_at_chance_where_members_are_like_others() -> None:
    for value in membership(0.0).values():
        assert value == pytest.approx(0.5, abs=0.1)


def test_membership_inference_finds_members_that_the_model_is_surer_of() -> None:
    # A threshold would reach 1: the attacker's weights are regularised, its signals not scaled.
    for value in membership(20.0).values():
        assert value > 0.9


def test_membership_inference_compares_all_forget_samples_with_as_many_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = []
    monkeypatch.setattr(
        "harness.metrics.membership.attack",
        lambda members, others, settings: given.append((members, others)) or 0.5,
    )
    membership(20.0)
    assert [(len(members), len(others)) for members, others in given] == [(60, 60)] * 3
    losses, entropies, confidences = given
    assert losses[0].max() < 0.01 < losses[1].min()
    assert entropies[0].max() < 0.01 < entropies[1].min()
    assert confidences[0].min() > 0.99 > confidences[1].max()
