"""Initialises anew the weights on which the retain and the forget set pull least apart."""

from __future__ import annotations

from typing import Any, Literal

from attrs import frozen

from harness.components import component, setting
from harness.lazy import F, nn, torch
from harness.methods.layers import convolutions, needs_convolutions, smallest
from harness.methods.recipes import OwnSGD, own_recipe
from harness.methods.task import Task


@frozen
class TargetedReinit(OwnSGD):
    """Settings of ``targeted_reinit``."""

    share: float = setting(0.3, doc="of the convolutions' weights that begin anew", gt=0, le=1)
    rank: Literal["layer", "global"] = setting(
        "layer", doc="whether each layer gives that share of its weights (the port), or all "
        "convolutions together (the team's text)",
    )  # fmt: skip
    kept_gradient: float = setting(0.1, doc="factor on the gradient of weights that stay", ge=0)
    epochs: int = setting(5, doc="passes over the retain set", unit="epochs", gt=0)
    lr: float = setting(1e-3, doc="peak learning rate, of the epoch in the middle", gt=0)


@component(
    "methods",
    "targeted_reinit",
    settings=TargetedReinit,
    source="NeurIPS 2023 unlearning, 2nd place; MSG in arXiv 2410.01276; protocol section 4.4",
    check=needs_convolutions,
    work=lambda s, sizes: (s.epochs * sizes.retain + 2 * sizes.forget,) * 2,
)
def targeted_reinit(model: nn.Module, task: Task, settings: TargetedReinit) -> nn.Module:
    """Initialise the convolutions' weights of smallest gradient anew, then fine-tune.

    The gradient is summed over batches of as many random retain samples as there are forget
    samples, and of the forget set, where the cross-entropy is negated. New values are
    Kaiming-normal: variance 2 / (outputs * height * width). The fine-tuning on the retain set
    scales the loss's gradient of weights that were kept, not their decay, and its rate rises and
    falls by epochs. All passes are in train mode, so BatchNorm's statistics move. Biases are kept.
    Raises HarnessError when the model has no convolution.
    """
    weights: list[Any] = [layer.weight for layer in convolutions(model)]
    _accumulate(model, task, settings)
    sizes = [weight.grad.abs() for weight in weights]
    masks: list[torch.Tensor] = []
    for group in [sizes] if settings.rank == "global" else [[size] for size in sizes]:
        masks += smallest(group, round(settings.share * sum(size.numel() for size in group)))
    draws, hooks = task.generator("weights"), []
    for weight, mask in zip(weights, masks, strict=True):
        anew = nn.init.kaiming_normal_(
            torch.empty(weight.shape), mode="fan_out", nonlinearity="relu", generator=draws
        )
        with torch.no_grad():
            weight.copy_(torch.where(mask, anew.to(mask.device), weight))
        factor = torch.where(mask, 1.0, settings.kept_gradient)
        hooks.append(weight.register_hook(lambda gradient, factor=factor: gradient * factor))
    task.fit(
        model, settings.shown(task.retain), own_recipe(settings, task.recipe, schedule="triangle")
    )
    for hook in hooks:
        hook.remove()
    return model


def _accumulate(model: nn.Module, task: Task, settings: OwnSGD) -> None:
    """Sum up the gradients: down on random retain samples, up on the forget set."""
    draws = task.generator("gradients")
    chosen = torch.randperm(len(task.retain), generator=draws)[: len(task.forget)]
    retained = task.retain.subset(chosen)
    model.train()
    for sign, pool in ((1, retained), (-1, task.forget)):
        for batch in settings.shown(pool).epoch(settings.batch_size, draws):
            (sign * F.cross_entropy(model(batch.x), batch.y)).backward()
            task.watch.meter.forward(len(batch.y))
            task.watch.meter.backward(len(batch.y))
