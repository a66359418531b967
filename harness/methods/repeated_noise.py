"""The challenge's seventh place: noise, and training, of a few tensors at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from attrs import frozen

from harness.components import component, setting
from harness.lazy import nn, torch
from harness.methods.layers import head_of, reset
from harness.methods.recipes import OwnSGD, own_recipe
from harness.methods.task import Task


@frozen
class RepeatedNoise(OwnSGD):
    """Settings of ``repeated_noise``."""

    noisy_epochs: int = setting(
        5, doc="passes that train the drawn tensors; noise stands before all but the first",
        unit="epochs", gt=0,
    )  # fmt: skip
    lr: float = setting(2e-4, doc="learning rate of those", gt=0)
    final_rates: tuple[float, ...] = setting(
        (2e-4, 2e-4, 2e-4, 1e-3), doc="learning rate of each pass after them, which trains all",
        gt=0,
    )  # fmt: skip
    tensors: int = setting(
        9, doc="drawn anew for each noisy epoch, among all but those of normalisation",
        unit="tensors", gt=0,
    )  # fmt: skip
    noised: float = setting(
        0.7, doc="share of the drawn tensors, rounded down, that may get noise", ge=0, le=1
    )
    noise: float = setting(0.04, doc="standard deviation of the noise on weights", ge=0)
    never_again: Literal["drawn", "noised"] = setting(
        "drawn",
        doc="no noise goes to a tensor that was drawn in an earlier epoch, as in published code, "
        "or that got noise then",
    )
    first_epoch: Literal["drawn", "all"] = setting(
        "drawn",
        doc="the first epoch trains drawn tensors, as in published code, or all, as the write-up "
        "says",
    )
    norms: Literal["layers", "names"] = setting(
        "layers",
        doc="tensors of normalisation, which are trained in every epoch: those of such layers, or "
        "those with bn in their name, as in published code, which takes a ResNet's shortcuts "
        "for others",
    )


@component(
    "methods",
    "repeated_noise",
    settings=RepeatedNoise,
    source="NeurIPS 2023 unlearning challenge, 7th (Jiaxi Sun): the notebook through "
    "xcadet/deepunlearn at 6830ff6, kgltop7.py (RNI in Deep Unlearn, arXiv 2410.01276)",
    sees=frozenset({"retain", "original weights"}),
    work=lambda s, sizes: ((s.noisy_epochs + len(s.final_rates)) * sizes.retain,) * 2,
)
def repeated_noise(model: nn.Module, task: Task, settings: RepeatedNoise) -> nn.Module:
    """Initialise the last linear layer anew, then go on training with noise on random weights.

    Each noisy epoch draws some tensors, adds N(0, noise^2) to part of them and trains these and
    the normalisation alone; the final epochs train all. Cross-entropy on the retain set; SGD
    starts anew at every epoch.
    """
    draws = task.generator("tensors")
    reset(model.get_submodule(head_of(model)), draws)
    weights, norms = dict(model.named_parameters()), _norms(model, settings)
    others = [name for name in weights if name not in norms]
    spared: set[str] = set()

    def drawn_of(names: list[str], count: int) -> list[str]:
        order = torch.randperm(len(names), generator=draws)[:count]
        return [names[i] for i in order.tolist()]

    def train(names: Iterable[str], lr: float) -> None:
        chosen = set(names)
        for name, weight in weights.items():
            weight.requires_grad_(name in chosen)
        task.fit(
            model, settings.shown(task.retain), own_recipe(settings, task.recipe, lr=lr, epochs=1)
        )

    for epoch in range(settings.noisy_epochs):
        drawn, noised = drawn_of(others, settings.tensors), []
        if epoch:
            some = drawn_of(drawn, int(settings.noised * len(drawn)))
            noised = [name for name in some if name not in spared]
            _add_noise([weights[name] for name in noised], settings.noise, draws)
        every = epoch == 0 and settings.first_epoch == "all"
        if not every:
            spared.update(drawn if settings.never_again == "drawn" else noised)
        train(weights if every else {*drawn, *norms}, settings.lr)
    for lr in settings.final_rates:
        train(weights, lr)
    return model.requires_grad_(True)


def _norms(model: nn.Module, settings: RepeatedNoise) -> set[str]:
    """The names of the tensors of normalisation."""
    names = [name for name, _ in model.named_parameters()]
    if settings.norms == "names":
        return {name for name in names if "bn" in name}
    kinds = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
    return {
        name for name in names if isinstance(model.get_submodule(name.rpartition(".")[0]), kinds)
    }


def _add_noise(weights: Iterable[torch.Tensor], deviation: float, draws: torch.Generator) -> None:
    for weight in weights:
        noise = torch.randn(weight.shape, generator=draws)
        weight.data += deviation * noise.to(weight)
