"""The challenge's eighth place: random layers anew, then the base model's logits, in cycles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from attrs import frozen

from harness.components import Facts, Misfit, component, setting
from harness.data.pool import Batch
from harness.errors import HarnessError
from harness.lazy import F, nn, torch
from harness.methods.last_layers import SHORTCUTS
from harness.methods.layers import head_of, layers_of, reset
from harness.methods.recipes import OwnSGD, own_recipe
from harness.methods.task import Task


@frozen
class LayerReinitMatch(OwnSGD):
    """Settings of ``layer_reinit_match``; those left out are the team's first algorithm."""

    cycles: tuple[int, ...] = setting(
        (1, 2, 2), doc="epochs of each cycle; second algorithm: 2, 1, 1, 1", unit="epochs", gt=0
    )
    rates: tuple[float, ...] = setting(
        (1e-3, 1e-3, 5e-4, 1e-3, 5e-4),
        doc="learning rate of each epoch: a cosine of two epochs that begins with every cycle; "
        "second algorithm: 5e-4, then 1e-3",
        ge=0,
    )
    layers: int = setting(6, doc="drawn for each cycle, with replacement", gt=0)
    drawn: Literal["layers", "tensors"] = setting(
        "layers",
        doc="what a layer is, of which the text says nothing: a convolution or linear layer, or "
        "any tensor, of which 6 are a tenth in a ResNet-18",
    )
    spared: Literal["none", "head", "head_and_shortcuts"] = setting(
        "head_and_shortcuts",
        doc="what is never drawn: the last linear layer, and the layers of shortcuts",
    )
    noise: float = setting(
        0.01,
        doc="standard deviation of the noise on inputs, as the model takes them; 0.1 was the best "
        "of the team's ablation",
        ge=0,
    )
    match_on: Literal["retain", "forget"] = setting(
        "retain", doc="samples on which logits are matched; one summary says forget"
    )


def misfits(settings: LayerReinitMatch, facts: Facts) -> Iterator[Misfit]:
    """Rates that are not one for each epoch, and noise on words (trait ``check``)."""
    if len(settings.rates) != (epochs := sum(settings.cycles)):
        yield Misfit("rates", f"found {len(settings.rates)} rates for {epochs} epochs of cycles")
    if settings.noise and facts.encoding.name == "tokens":
        yield Misfit("noise", f"found {settings.noise}; tokens take no noise: only 0 is allowed")


def _work(settings: LayerReinitMatch, sizes: Any) -> tuple[float, float]:
    samples = sum(settings.cycles) * getattr(sizes, settings.match_on)
    return 2 * samples, samples


@component(
    "methods",
    "layer_reinit_match",
    settings=LayerReinitMatch,
    source="NeurIPS 2023 unlearning challenge, 8th (Forget; Ahn et al., Kyungpook and LG): the "
    "team's report. Momentum, weight decay and batch are the organisers' own, for it has none",
    sees=frozenset({"retain", "forget", "original weights"}),
    check=misfits,
    work=_work,
)
def layer_reinit_match(model: nn.Module, task: Task, settings: LayerReinitMatch) -> nn.Module:
    """Initialise random layers anew and match the base model's logits, several times over.

    Minimises mean (z_base(x') - z(x'))^2 over samples and classes, x' = x + N(0, noise^2), drawn
    anew for every batch. Labels are not read, nor is the forget set unless ``match_on`` says so.
    SGD starts anew at every epoch.
    """
    teacher, draws = task.original(), task.generator("layers")
    pool = settings.shown(task.retain if settings.match_on == "retain" else task.forget)
    units, rates = _units(model, settings), iter(settings.rates)
    seen: dict[str, Any] = {}

    def blur(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        """From the generators that dropout draws from: they are saved with a training."""
        x = given[0]
        seen["x"] = x + settings.noise * torch.randn_like(x) if settings.noise else x
        return (seen["x"],)

    def loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        with torch.no_grad():
            task.watch.meter.forward(len(batch.y))
            taught = teacher(seen["x"])
        return F.mse_loss(logits.float(), taught.float())

    hook = model.register_forward_pre_hook(blur)
    for epochs in settings.cycles:
        for i in torch.randint(len(units), (settings.layers,), generator=draws).tolist():
            reset(units[i][0], draws, only=units[i][1])
        for _ in range(epochs):
            train = own_recipe(settings, task.recipe, lr=next(rates), epochs=1)
            task.fit(model, pool, train, loss)
    hook.remove()
    return model


def _units(model: nn.Module, settings: LayerReinitMatch) -> list[tuple[nn.Module, str | None]]:
    """What may be drawn: layers, or layers with the name of one of their tensors."""
    found: list[tuple[nn.Module, str | None]] = []
    layers, head = layers_of(model), head_of(model)
    for name, module in model.named_modules():
        shortcut = any(word in name for word in SHORTCUTS)
        if (settings.spared != "none" and name == head) or (
            settings.spared == "head_and_shortcuts" and shortcut
        ):
            continue
        if settings.drawn == "tensors" and hasattr(module, "reset_parameters"):
            found += [(module, tensor) for tensor, _ in module.named_parameters(recurse=False)]
        elif settings.drawn == "layers" and name in layers:
            found.append((module, None))
    if not found:
        raise HarnessError("layer_reinit_match: the model has no layer that may be drawn")
    return found
