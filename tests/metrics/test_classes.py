"""What is left of forgotten classes: cases worked by hand, and a model that hides them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.components import get
from harness.data.encodings import Features
from harness.data.pool import Pool
from harness.data.types import Split
from harness.errors import HarnessError
from harness.metrics.evidence import Evidence
from harness.spec.structure import structure_use

FEATURES = Features(2)


def pool(vectors: list[list[float]], labels: list[int]) -> Pool:
    split = Split(torch.tensor(vectors), torch.tensor(labels))
    return Pool(split, torch.arange(len(labels)), encoding=FEATURES)


def drawn(labels: list[int]) -> Pool:
    """Vectors that say their class: 0 on the left, 1 on the right, 2 above."""
    places = torch.tensor([[-4.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    noise = torch.randn(len(labels), 2, generator=torch.Generator().manual_seed(len(labels)))
    return pool((places[labels] + 0.1 * noise).tolist(), labels)


def linear(weight: list[list[float]], bias: list[float]) -> nn.Linear:
    layer = nn.Linear(2, 3)
    layer.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(bias)})
    return layer


KNOWS = [[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]


def evidence(unlearned: nn.Module, **pools: Pool) -> Evidence:
    models = {"unlearned": unlearned, "original": linear(KNOWS, [0.0] * 3)}
    return Evidence(
        models=models.__getitem__,
        pools={
            "forget": drawn([0] * 20), "retain": drawn([1, 2] * 20),
            "retain:20": drawn([1, 2] * 10), "test": drawn([0, 0, 1, 2]), **pools,
        },
        classes=3,
        target_class=None,
        costs={"base": {}, "method": {"forward": 1000, "backward": 400}},
        seed="s",
        flops=lambda: {"head": 60.0, "backbone": 5000.0},
    )  # fmt: skip


def measure(name: str, found: Evidence, **settings: object) -> dict[str, float]:
    use = structure_use("metrics", {"name": name, **settings})
    values = get("metrics", name).function(found, use.settings)
    assert set(values) == set(get("metrics", name).traits.outputs(use.settings))
    return values


def test_class_accuracies_are_told_apart_by_what_the_retain_set_lacks() -> None:
    without = linear(KNOWS, [-100.0, 0.0, 0.0])  # the logit of class 0 is dropped
    test = pool([[-4, 0], [4, 0], [4, 0], [0, 4], [4, 0]], [0, 0, 1, 2, 2])
    assert measure("class_accuracy", evidence(without, test=test)) == {
        "test_forget_accuracy": 0.0, "test_retain_accuracy": 2 / 3,
        "test_forget_drop": 0.5, "test_retain_drop": 0.0,
        "forget_drop": 1.0, "retain_drop": 0.0,
    }  # fmt: skip
    some = evidence(without, forget=drawn([1, 2]))
    with pytest.raises(HarnessError, match="no class is forgotten whole"):
        measure("class_accuracy", some)


def test_a_dropped_logit_leaves_the_class_in_the_representation_and_a_blind_layer_does_not() -> (
    None
):
    dropped = linear(KNOWS, [-100.0, 0.0, 0.0])
    found = measure("linear_probe", evidence(dropped), samples=20)
    assert found == {"probe_forget_accuracy": 1.0, "probe_retain_accuracy": 1.0}
    blind = linear([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]], [0.0] * 3)  # only tells class 1
    found = measure("linear_probe", evidence(nn.Sequential(blind, dropped_of_three())), samples=20)
    assert found["probe_retain_accuracy"] == 1.0
    assert found["probe_forget_accuracy"] == 1.0  # sees x: class 0 lies on the left

    class Flat(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([x[:, 1] * 0, (x[:, 0] > 1) * 1.0, x[:, 1] * 0], 1)

    found = measure("linear_probe", evidence(Flat()), samples=20)  # no linear layer: its outputs
    assert sum(found.values()) <= 1.5  # classes 0 and 2 look alike


def dropped_of_three() -> nn.Linear:
    layer = nn.Linear(3, 3)
    layer.load_state_dict({"weight": torch.eye(3), "bias": torch.tensor([-100.0, 0.0, 0.0])})
    return layer


def test_relearning_counts_the_steps_until_the_class_is_known_again() -> None:
    model = linear(KNOWS, [-3.0, 0.0, 0.0])
    settings = {"batch_size": 60, "lr": 0.05}
    assert measure("relearning", evidence(model), **settings)["relearning_steps"] == 0  # it knows
    worse = linear([[-0.1, 0.0], [0.1, 0.0], [0.0, 1.0]], [-3.0, 0.0, 0.0])
    before = {name: value.clone() for name, value in worse.state_dict().items()}
    found = measure("relearning", evidence(worse), **settings)
    assert found["relearned"] == 1.0
    # The slow, obvious version: whole passes are whole batches, so order changes nothing.
    x, y = (torch.cat(pair) for pair in zip(*((p.inputs, p.targets) for p in (
        drawn([1, 2] * 20), drawn([0] * 20))), strict=True))  # fmt: skip
    slow, steps = linear([[-0.1, 0.0], [0.1, 0.0], [0.0, 1.0]], [-3.0, 0.0, 0.0]), 0
    while (slow(x).argmax(1) == y)[40:].float().mean() < 0.95:
        slow.zero_grad()
        nn.functional.cross_entropy(slow(x), y).backward()
        with torch.no_grad():
            for weight in slow.parameters():
                weight -= 0.05 * weight.grad
        steps += 1
    assert found["relearning_steps"] == steps > 1
    assert all(torch.equal(before[name], value) for name, value in worse.state_dict().items())
    never = measure("relearning", evidence(worse), most=1, lr=1e-9)
    assert never == {"relearning_steps": 1, "relearned": 0.0}


def test_operations_are_counted_by_our_rule_and_by_the_papers() -> None:
    found = measure("flops", evidence(linear(KNOWS, [0.0] * 3)))
    assert found == {
        "forward_tflop": pytest.approx(1000 * 60 / 1e12),
        "backward_tflop": pytest.approx(400 * 2 * 60 / 1e12),
        "paper_forward_tflop": pytest.approx(1000 * (30 + 2500) / 1e12),
        "paper_backward_tflop": pytest.approx(400 * 2 * 9 / 1e12),
    }
