"""The worst of some draws of an augmentation."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from harness.components import Facts, Misfit, component, get, setting
from harness.data.augmentations._batches import batch_misfits
from harness.data.encodings import Images
from harness.data.pool import Batch
from harness.lazy import F, nn, torch
from harness.spec.blocks import Use, use


@frozen
class WorstDraw:
    """Settings of ``worst_draw``."""

    draws: int = setting(5, doc="augmented versions of each image", gt=0)
    augment: tuple[Use, ...] = use(
        "augmentations", ("ueraser",), doc="what a draw goes through, in order", many=True
    )


def misfits(settings: WorstDraw, facts: Facts) -> Iterator[Misfit]:
    """Augmentations that do not fit (trait ``check``)."""
    yield from (Misfit("augment", what) for what in batch_misfits(settings.augment, facts))


@component(
    "adversaries",
    "worst_draw",
    settings=WorstDraw,
    source="error-maximising augmentation of Qin et al., Learning the Unlearnable, arXiv "
    "2303.15127, section 3: UEraser-max; 5 draws as in lafeat/ueraser and lafeat/apbench",
    check=misfits,
    work=lambda settings: (settings.draws, 0),
)
def worst_draw(
    model: nn.Module,
    batch: Batch,
    settings: WorstDraw,
    encoding: Images,
    generator: torch.Generator,
) -> torch.Tensor:
    """Of each image the version with the largest loss, the model in the mode that it is in.

    In a training, running statistics of BatchNorm thus see every draw. Published code keeps the
    graph of all draws and learns from the largest loss of each image; here the worst versions are
    passed again as one batch, which differs by the statistics of that batch and takes the memory
    of one.
    """
    images, worst, x = encoding.intensities(batch.x), None, batch.x
    for _ in range(settings.draws):
        drawn = images
        for augment in settings.augment:
            function = get("augmentations", augment.name).function
            drawn = function(drawn, settings=augment.settings, generator=generator)
        version = encoding.batch(drawn)
        with torch.no_grad():
            losses = F.cross_entropy(model(version).float(), batch.y, reduction="none")
        if worst is None:
            worst, x = losses, version
            continue
        x = torch.where((losses > worst).view(-1, 1, 1, 1), version, x)
        worst = torch.maximum(losses, worst)
    return x
