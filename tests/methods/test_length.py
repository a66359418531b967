"""How long methods train under a budget, noise on gradients, and which layers are the last."""

from __future__ import annotations

import copy

import attrs
import pytest
import torch
from methods.problem import RECIPE, build, make_task, run
from methods.test_last_layers_and_goel import first_weight, model_of
from torch import nn

from harness.errors import HarnessError
from harness.methods.last_layers import split_last
from harness.methods.task import Task
from harness.spec.structure import structure_use
from harness.training.length import samples_of, steps_within

PLAIN = {"name": "sgd", "lr": 0.1, "momentum": 0, "weight_decay": 0}


def spent(task: Task, name: str, **settings: object) -> tuple[int, int]:
    """Steps, and samples backward, of a method in a task whose base training saw 600 samples."""
    task.base_samples = 600
    run(name, task, copy.deepcopy(build("base")), **settings)
    return task.watch.meter.steps, task.watch.meter.backward_samples


@pytest.mark.parametrize(
    ("name", "settings", "steps", "samples"),
    [
        # 72 samples stay, 24 go, batches of 16; 60 samples are allowed.
        ("finetune", {}, 3, 48),  # 16 + 16 + 16; a fourth batch would make 64
        ("retrain_last_k", {"k": 1}, 3, 48),
        ("gradient_ascent", {}, 4, 48),  # 16 + 8, twice
        ("negative_gradient", {}, 2, 56),  # 16 + 16, then 16 + 8
        ("negative_gradient", {"alpha": 1}, 3, 48),  # no batch of what goes
        ("scrub", {}, 4, 56),  # up on 16 + 8, down on 16 + 16
        ("scrub", {"max_epochs": 0}, 3, 48),
        ("bad_teacher", {}, 3, 48),
    ],
)
def test_a_budget_is_worked_out_in_samples(
    name: str, settings: dict[str, object], steps: int, samples: int
) -> None:
    assert spent(make_task(), name, budget=0.1, **settings) == (steps, samples)


def test_steps_and_epochs_go_before_a_budget_which_is_at_least_one_step() -> None:
    assert spent(make_task(), "finetune", budget=0.1, steps=2) == (2, 32)
    assert spent(make_task(), "gradient_ascent", budget=0.1, epochs=1) == (2, 24)
    assert spent(make_task(), "scrub", budget=0.1, epochs=1) == (7, 96)
    assert spent(make_task(), "finetune", budget=0.001) == (1, 16)
    assert spent(make_task(), "scrub", budget=0.001) == (1, 16)


def test_the_steps_within_a_budget_are_those_of_counting_batches() -> None:
    def counted(allowed: float, size: int, sets: list[int]) -> int:
        seen, steps, left = 0, 0, [0] * len(sets)
        while True:
            for i, count in enumerate(sets):
                left[i] = left[i] or count
                seen, left[i] = seen + min(size, left[i]), left[i] - min(size, left[i])
            if seen > allowed:
                return max(steps, 1)
            steps += 1

    for allowed in (0.5, 7, 31.9, 100, 333, 1000):
        for sets in ([10], [16], [100, 7], [3, 3, 50]):
            assert steps_within(allowed, 16, sets) == counted(allowed, 16, sets)
    assert samples_of(7, 72, 16) == 72 + 32
    # 6 % of 100 passes over 50,000 samples are 300,000, whatever floats make of it.
    task = make_task()
    task.base_samples = 5_000_000
    from harness.methods.baselines import Finetune
    from harness.methods.length import allowance

    assert allowance(Finetune(budget=0.06), task) == 300_000


def noisy(steps: int, variance: float) -> torch.Tensor:
    task = make_task()
    task.recipe = attrs.evolve(RECIPE, optimizer=structure_use("optimizers", PLAIN))
    more = {"gradient_noise": variance} if variance else {}
    found = run("finetune", task, copy.deepcopy(build("base")), steps=steps, **more)
    return torch.cat([p.detach().flatten() for p in found.parameters()])


def test_the_noise_of_ngd_is_added_to_every_gradient() -> None:
    model, task = build("base").train(), make_task()
    for step, batch in enumerate(task.retain.epoch(16, task.generator("fit 1 batches"))):
        if step == 2:
            break
        model.zero_grad()
        nn.functional.cross_entropy(model(batch.x), batch.y).backward()
        seed = task.generator(f"gradient noise {step}").initial_seed()
        draws = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in model.parameters():
                noise = 0.2 * torch.randn(weight.shape, generator=draws)
                weight -= 0.1 * (weight.grad + noise)
    by_hand = torch.cat([p.detach().flatten() for p in model.parameters()])
    torch.testing.assert_close(noisy(2, 0.04), by_hand)
    # Without knowing the draws: what one step moves otherwise is lr * N(0, variance).
    moved = (noisy(1, 0.04) - noisy(1, 0)) / 0.1
    assert float(moved.std()) == pytest.approx(0.2, rel=0.1)
    assert abs(float(moved.mean())) < 0.03


def test_ascent_and_last_layers_can_have_an_optimiser_of_their_own() -> None:
    adam = {"name": "adam", "weight_decay": 0}

    def moved(name: str, **settings: object) -> torch.Tensor:
        found = run(name, make_task(), copy.deepcopy(build("base")), steps=1, lr=0.01, **settings)
        pairs = zip(found.parameters(), build("base").parameters(), strict=True)
        return torch.cat([(a - b).abs().flatten() for a, b in pairs])

    # The first step of Adam is the rate, wherever there is a gradient.
    for name, more in (("gradient_ascent", {}), ("finetune_last_k", {"k": 1})):
        steps = moved(name, optimizer=adam, **more)
        assert torch.allclose(steps[steps > 1e-6].median(), torch.tensor(0.01), rtol=1e-2)


class _Blocks(nn.Module):
    """What a GPT-2 is made of: an embedding, a list of blocks, a norm and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.dropout = nn.Dropout(0.1)
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(4, 1, 8) for _ in range(3))
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 2)


def test_the_last_blocks_of_a_transformer_are_its_head_and_whole_blocks() -> None:
    model = _Blocks()
    front, last = split_last(model, 3, "blocks")
    assert last == [model.blocks[1], model.blocks[2], model.norm, model.head]
    assert front == [model.embedding, model.dropout, model.blocks[0]]
    assert split_last(model, 1, "blocks")[1] == [model.head]
    assert split_last(model, 5, "blocks")[1] == [*front, *last]
    with pytest.raises(HarnessError, match=r"last 6 blocks cannot.*possible here: 1, 2, 3, 4, 5$"):
        split_last(model, 6, "blocks")


def test_the_last_three_of_a_resnet18_as_layers_and_as_blocks() -> None:
    model = model_of("torchvision", arch="resnet18")
    named = dict(model.named_parameters())
    assert first_weight(split_last(model, 3)[1]) is named["layer4.1.conv1.weight"]
    assert first_weight(split_last(model, 3, "blocks")[1]) is named["layer4.0.conv1.weight"]
    assert first_weight(split_last(model, 10, "blocks")[1]) is named["conv1.weight"]
