"""The challenge's sixth place: first and last layer anew, then distillation."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from harness.components import Facts, Misfit, component, setting
from harness.data.pool import Batch
from harness.lazy import F, nn, torch
from harness.methods.layers import head_of, layers_of, reset
from harness.methods.recipes import COSINE, OwnSGD, own_recipe
from harness.methods.task import Task


@frozen
class ResetDistil(OwnSGD):
    """Settings of ``reset_distil``."""

    warmup_epochs: int = setting(
        3, doc="passes over the validation set, before the others", unit="epochs", ge=0
    )
    warmup_lr: float = setting(9e-4, doc="learning rate of those, constant", gt=0)
    warmup_classes: tuple[int, ...] = setting(
        (),
        doc="classes of the validation set that they see; all when left out. The team's other "
        "submission: 0 and 1, those of the faces to forget",
        ge=0,
    )
    epochs: int = setting(3, doc="passes over the retain set", unit="epochs", gt=0)
    lr: float = setting(
        1e-3, doc="peak learning rate of those; a cosine lowers it at every epoch", gt=0
    )
    temperature: float = setting(5.0, doc="of both softmaxes in what is distilled", gt=0)


def misfits(settings: ResetDistil, facts: Facts) -> Iterator[Misfit]:
    """Classes that the data do not have (trait ``check``)."""
    for number in settings.warmup_classes:
        if number >= facts.classes:
            yield Misfit("warmup_classes", f"found {number}; the last class is {facts.classes - 1}")


@component(
    "methods",
    "reset_distil",
    settings=ResetDistil,
    source="NeurIPS 2023 unlearning challenge, 6th (Algorithmic Amnesiacs): their notebook through "
    "xcadet/deepunlearn at 6830ff6, kgltop6.py (KDE in Deep Unlearn, arXiv 2410.01276)",
    sees=frozenset({"retain", "validation", "original weights"}),
    check=misfits,
    work=lambda s, sizes: (
        2 * (s.warmup_epochs * sizes.validation + s.epochs * sizes.retain),
        s.warmup_epochs * sizes.validation + s.epochs * sizes.retain,
    ),
)
def reset_distil(model: nn.Module, task: Task, settings: ResetDistil) -> nn.Module:
    """Initialise the first layer and the last linear one anew, and learn from the base model.

    With p and q the softmaxes of the base model's and the model's logits over T: the warm-up
    minimises KL(p || q), without a factor T^2, on the validation set, whose labels it does not
    read. Then, on the retain set, cross-entropy + H(p, q) + KL(p || q): the last two differ by a
    constant only, so that distillation counts twice. The published code resets ``conv1`` and
    ``fc`` by name; in a ResNet the first convolution and the last linear layer are these.
    """
    teacher, draws = task.original(), task.generator("reset")
    layers = layers_of(model)
    for name in dict.fromkeys((next(iter(layers)), head_of(model))):
        reset(layers[name], draws)

    def soft(logits: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """KL(p || q) and H(p, q), mean over samples."""
        with torch.no_grad():
            task.watch.meter.forward(len(batch.y))
            p = (teacher(batch.x).float() / settings.temperature).softmax(1)
        q = (logits.float() / settings.temperature).log_softmax(1)
        return F.kl_div(q, p, reduction="batchmean"), -(p * q).sum(1).mean()

    def on_retain(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        divergence, entropy = soft(logits, batch)
        return F.cross_entropy(logits.float(), batch.y) + entropy + divergence

    if settings.warmup_epochs:
        seen = task.validation
        if settings.warmup_classes:
            wanted = torch.tensor(settings.warmup_classes, device=seen.targets.device)
            seen = seen.subset(torch.isin(seen.targets, wanted).nonzero().squeeze(1))
        warmup = own_recipe(
            settings, task.recipe, lr=settings.warmup_lr, epochs=settings.warmup_epochs
        )
        task.fit(model, seen, warmup, lambda logits, batch: soft(logits, batch)[0])
    recipe = own_recipe(settings, task.recipe, schedule=COSINE)
    task.fit(model, settings.shown(task.retain), recipe, on_retain)
    return model
