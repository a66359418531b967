"""``prune_reinit_entropy`` against versions that are written out."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from methods.convolutional import FROZEN, build, by_hand, same, state, task_of
from methods.problem import run
from torch import nn
from torch.nn import functional as F

from harness.methods.prune_entropy import entropy, prune_and_draw

METHOD = "prune_reinit_entropy"
UNROUNDED = {"round_to_fp16": False, "batch_size": 16}


def with_biases() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = nn.Sequential(
            nn.Conv2d(2, 9, 3), nn.BatchNorm2d(9), nn.ReLU(), nn.Conv2d(9, 5, 3, bias=False),
            nn.Flatten(), nn.Linear(80, 10),
        )  # fmt: skip
        model[5].weight.data *= 50  # so that layers lose different shares
        model[1].weight.data.fill_(1e-9)
        return model


@pytest.mark.parametrize("share", [0.99, 0.5])
def test_exactly_that_share_of_all_layers_together_is_drawn_anew(share: float) -> None:
    model, draws = with_biases(), torch.Generator().manual_seed(1)
    before = state(model)
    prune_and_draw(model, share, draws)
    after = state(model)
    layers = {"0": 2 * 9, "3": 9 * 9, "5": 80}
    places = sorted(
        (value.flatten()[i].abs().item(), name, i)
        for name, value in before.items()
        if name.split(".")[0] in layers
        for i in range(value.numel())
    )
    assert len(places) == 162 + 9 + 405 + 800 + 10
    pruned = {place[1:] for place in places[: round(share * len(places))]}
    for name, old in before.items():
        layer, kind = name.split(".")
        for i, (a, b) in enumerate(
            zip(old.flatten().tolist(), after[name].flatten().tolist(), strict=True)
        ):
            if (name, i) not in pruned:
                assert a == b, name
            elif kind == "bias":
                assert b == 0
            else:
                assert a != b
                assert abs(b) <= 1 / math.sqrt(layers[layer])
    assert len({name for name, _ in pruned}) >= 3
    # The second convolution is pruned whole, and fills its range evenly.
    bound = 1 / math.sqrt(81)
    assert after["3.weight"].std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
    assert after["3.weight"].abs().max().item() > 0.98 * bound


def test_entropies_are_in_nats_and_compared_by_their_mean_square() -> None:
    two = torch.tensor([[0.0, 0.0], [math.log(3), 0.0]])
    by_hand = [math.log(2), -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))]
    assert entropy(two).tolist() == pytest.approx(by_hand)
    assert entropy(torch.tensor([[1e4, 0.0, 0.0]])).tolist() == [0.0]


def expected(steps: int, weight: float = 1.0, power: float = -0.1) -> nn.Module:
    base = build("base").eval()
    task = task_of()
    counts = Counter(task.retain.targets.tolist())

    def loss(logits: torch.Tensor, labels: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        p, q = logits.softmax(1), base(x).softmax(1).detach()
        log_p = [row.log_softmax(0) for row in logits]
        given = [counts[y] ** power for y in labels.tolist()]
        fitted = sum(-w * row[y] for w, row, y in zip(given, log_p, labels.tolist(), strict=True))
        mine, its = ((-(r * r.log()).sum(1)) for r in (p, q))
        return fitted / sum(given) + weight * ((mine - its) ** 2).mean()

    pruned = build("base")
    prune_and_draw(pruned, 0.99, task.generator("weights"))
    return by_hand(pruned, task.retain, lambda epoch: 0.05, steps=steps, loss=loss)


def test_the_training_is_sgd_as_written_out_for_a_step_more_than_3_2_epochs() -> None:
    found = run(METHOD, task_of(), build("base"), lr=0.05, **UNROUNDED)
    same(found, expected(int(3.2 * 5) + 1), atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "steps"),
    [({}, 17), ({"one_more_step": False}, 16), ({"epochs": 2}, 11), ({"epochs": 0.01}, 1),
     ({"epochs": 0.01, "one_more_step": False}, 1)],
)  # fmt: skip
def test_how_many_steps_are_taken(settings: dict[str, object], steps: int) -> None:
    task = task_of()
    run(METHOD, task, build("base"), **UNROUNDED, **settings)
    assert task.watch.meter.steps == steps


def test_weights_of_classes_and_of_the_entropies_can_be_set() -> None:
    given = {"lr": 0.05, "entropy_weight": 0, "class_power": 0, "epochs": 1, "one_more_step": False}
    same(run(METHOD, task_of(), build("base"), **UNROUNDED, **given), expected(5, 0, 0), atol=1e-5)


def test_weights_and_statistics_are_rounded_to_fp16_at_the_end() -> None:
    whole = run(METHOD, task_of(), build("base"), **UNROUNDED, lr=0.05)
    found = run(METHOD, task_of(), build("base"), batch_size=16, lr=0.05)
    changed = 0
    for a, b in zip(found.state_dict().values(), whole.state_dict().values(), strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b.half().float() if b.is_floating_point() else b)
        changed += not torch.equal(a, b)
    assert changed > 5


def test_the_base_model_teaches_as_it_was_before_the_pruning() -> None:
    task = task_of()
    found = run(METHOD, task, build("base"), **UNROUNDED, lr=FROZEN)
    assert task.watch.meter.forward_samples == 2 * task.watch.meter.backward_samples
    assert not torch.equal(found[0].weight, build("base")[0].weight)
    x = next(iter(task.retain.ordered())).x
    assert F.mse_loss(entropy(found(x)), entropy(build("base").eval()(x))) > 0
