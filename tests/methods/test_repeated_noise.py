"""The challenge's seventh place: which tensors are trained, and which get noise, when."""

from __future__ import annotations

import copy
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from methods.problem import run
from methods.recorded import (
    Fit,
    changed,
    convolutional,
    recorded,
    resnet18,
    state,
    stopped_and_resumed,
    task_of,
)
from torch import nn

NORMS = {f"{layer}.{tensor}" for layer in (1, 5, 9) for tensor in ("weight", "bias")}
OTHERS = {"0.weight", "4.weight", "8.weight", "13.weight", "13.bias"}


def fits_of(model: nn.Module, *, train: bool = True, **settings: object) -> list[Fit]:
    task = task_of(model)
    fits = recorded(task, train=train)
    run("repeated_noise", task, copy.deepcopy(model), **{"tensors": 3, **settings})
    return fits


def noised(fits: list[Fit]) -> list[set[str]]:
    """What changes between trainings, by the epoch that follows."""
    between = [changed(a.after, b.before) for a, b in pairwise(fits)]
    return [set(), *between]


def test_nine_epochs_of_which_five_train_three_drawn_tensors_and_the_normalisation() -> None:
    base = convolutional()
    fits = fits_of(base)
    assert len(fits) == 9
    assert changed(state(base), fits[0].before) == {"13.weight", "13.bias"}
    for fit in fits[:5]:
        assert len(fit.trained & OTHERS) == 3
        assert fit.trained - OTHERS == NORMS
    assert all(fit.trained == NORMS | OTHERS for fit in fits[5:])
    assert len({frozenset(fit.trained) for fit in fits[:5]}) > 1
    for fit in fits:
        assert changed(fit.before, fit.after) == fit.trained
        assert (fit.train.epochs, fit.train.batch_size) == (1, 64)
        assert fit.train.schedule.name == "constant"
        settings = fit.train.optimizer.settings
        assert (settings.momentum, settings.weight_decay) == (0.9, 5e-4)
    assert [fit.lr for fit in fits] == [2e-4] * 8 + [1e-3]


def test_noise_goes_to_drawn_tensors_that_were_never_drawn_before() -> None:
    fits = fits_of(convolutional(), noised=1.0)
    drawn = [fit.trained & OTHERS for fit in fits[:5]]
    for epoch, given in enumerate(noised(fits)):
        before = set().union(*drawn[:epoch])
        assert given == (drawn[epoch] - before if 0 < epoch < 5 else set())
    assert any(noised(fits))


def test_at_most_the_share_gets_noise_and_or_else_none_gets_it_twice() -> None:
    fits = fits_of(convolutional(), train=False, noisy_epochs=12, never_again="noised")
    given = noised(fits)
    drawn = [fit.trained & OTHERS for fit in fits]
    assert all(names <= drawn[epoch] for epoch, names in enumerate(given))
    assert all(len(names) <= 2 for names in given)  # 0.7 of 3, rounded down
    assert sum(map(len, given)) == len(set().union(*given)) == len(OTHERS)
    # Those of the first epoch get noise too, which without the setting they never do.
    assert drawn[0] & set().union(*given)
    published = fits_of(convolutional(), train=False, noisy_epochs=12)
    first = published[0].trained & OTHERS
    assert not first & set().union(*noised(published))


def test_the_noise_has_the_deviation_that_is_said() -> None:
    fits = fits_of(convolutional(), train=False, noised=1.0, noise=0.5, tensors=5, noisy_epochs=2,
                   never_again="noised")  # fmt: skip
    moved = fits[1].before["4.weight"] - fits[0].after["4.weight"]
    assert float(moved.std()) == pytest.approx(0.5, rel=0.15)
    assert abs(float(moved.mean())) < 0.1


def test_the_first_epoch_may_train_all_and_spares_none_of_them_later() -> None:
    fits = fits_of(convolutional(), train=False, first_epoch="all", noised=1.0)
    assert fits[0].trained == NORMS | OTHERS
    assert noised(fits)[1] == fits[1].trained & OTHERS


def test_in_the_challenges_network_nine_of_22_or_by_names_of_28(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = "harness.methods.repeated_noise"
    given: list[int] = []
    monkeypatch.setattr(f"{place}.reset", lambda *a, **b: None)
    monkeypatch.setattr(f"{place}._add_noise", lambda weights, *a: given.append(len(weights)))
    with torch.device("meta"):
        model = resnet18()
    every = {name for name, _ in model.named_parameters()}

    def trained(**settings: object) -> list[set[str]]:
        task, found = task_of(model), []
        task.fit = lambda net, *a, **b: found.append(  # type: ignore[assignment]
            {name for name, weight in net.named_parameters() if weight.requires_grad}
        )
        run("repeated_noise", task, model, **settings)
        return found[:5]

    # Twenty convolutions and fc's two; and the weights and biases of three shortcuts' BatchNorm.
    others = every - set.intersection(*trained())
    assert len(others) == 22 and not [n for n in others if "bn" in n or "downsample.1" in n]
    assert all(len(names & others) == 9 for names in trained())
    others = {name for name in every if "bn" not in name}
    assert len(others) == 28
    assert all(len(names & others) == 9 for names in trained(norms="names"))
    given.clear()
    trained(noisy_epochs=2, never_again="noised")
    assert given == [6]


def test_draws_and_noise_follow_the_seed() -> None:
    def weights(seed: str) -> torch.Tensor:
        task = task_of(convolutional())
        task.seed = seed
        found = run("repeated_noise", task, convolutional(), tensors=3)
        assert all(weight.requires_grad for weight in found.parameters())
        return torch.cat([weight.detach().flatten() for weight in found.parameters()])

    assert torch.equal(weights("a"), weights("a"))
    assert not torch.equal(weights("a"), weights("b"))


@pytest.mark.parametrize("steps", [1, 4])
def test_stopped_in_any_epoch_it_ends_with_the_same_bytes(steps: int, tmp_path: Path) -> None:
    stopped_and_resumed("repeated_noise", tmp_path, steps, tensors=3, noisy_epochs=2)
