"""The loss on the plane in which a perturbed and a clean training move most."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from math import isfinite

from attrs import frozen

from harness.components import component, setting
from harness.data.pool import Batch
from harness.errors import HarnessError
from harness.lazy import F, nn, torch
from harness.metrics.evidence import Evidence
from harness.spec.requests import Trained
from harness.training.sharpness import fixed

OWN, CLEAN = "path", "clean_path"
LOSSES = {"train": "loss_trained", "train_clean": "loss_clean"}
DOCS = {
    "plane_variance": "Share of the variance of the points of both trainings, perturbed and clean, "
    "that their shared plane explains.",
    "plane_variance_first": "That of the plane's first direction alone.",
}


@frozen
class LossLandscape:
    """Settings of ``loss_landscape``."""

    snapshots: int = setting(8, doc="points of each training, evenly spaced up to its end", gt=1)
    grid: int = setting(25, doc="points of the grid on a side", gt=1, le=50)
    beyond: float = setting(
        0.2, doc="how far the grid reaches beyond the points, as a share of their range", ge=0
    )
    samples: int = setting(
        256, doc="training samples that losses are means over", unit="samples", gt=0
    )


@component(
    "metrics",
    "loss_landscape",
    settings=LossLandscape,
    source="figure 2 of Ye et al. ICLR 2025 (arXiv 2509.08058); Li et al. NeurIPS 2018, section 7 "
    "(protocol section 5.3)",
    outputs=lambda s: tuple(DOCS),
    docs=lambda s: DOCS,
    reads=lambda s: ("train", "train_clean"),
    requests=lambda s: (
        Trained(OWN, data="corrupted", snapshots=s.snapshots),
        Trained(CLEAN, data="clean", snapshots=s.snapshots),
    ),
    unit="share",
    range=(0, 1),
)
def loss_landscape(evidence: Evidence, settings: LossLandscape) -> dict[str, float]:
    """The two principal directions of the parameters of both trainings at all their points, and
    both losses on a grid of that plane: on the data as trained on, and on the same samples clean.

    Principal components of the points less their mean, without any normalisation of filters; the
    origin of the plane is that mean. Losses are mean cross-entropies without augmentation, in
    which batch normalisation takes the statistics of the samples themselves, because no training
    gave any for the points of a plane. The two trainings begin at weights of their own, so that
    much of the variance lies between them.

    Leaves the series ``plane_x`` and ``plane_y`` (the grid), ``loss_trained:00 ...`` and
    ``loss_clean:00 ...`` (a row of it for each y), and ``path_x``, ``path_y``, ``clean_path_x``
    and ``clean_path_y`` (the points of the trainings).
    """
    if evidence.answers is None:
        raise HarnessError("loss_landscape needs the trainings that it asks for")
    model = copy.deepcopy(evidence.model("original"))
    _use_statistics_of_samples(model)
    names = [name for name, _ in model.named_parameters()]
    paths = {name: _rows(evidence.answers.snapshots(name), names) for name in (OWN, CLEAN)}
    every = torch.cat(list(paths.values()))
    middle = every.mean(0)
    _, sizes, directions = torch.linalg.svd(every - middle, full_matrices=False)
    shares = sizes.double().square() / sizes.double().square().sum()
    for name, rows in paths.items():
        x, y = ((rows - middle) @ directions[:2].T).T
        evidence.series |= {f"{name}_x": _short(x), f"{name}_y": _short(y)}
    ends = ((every - middle) @ directions[:2].T).aminmax(dim=0)
    more = settings.beyond * (ends.max - ends.min)
    low, high = (ends.min - more).tolist(), (ends.max + more).tolist()
    sides = [torch.linspace(*side, settings.grid) for side in zip(low, high, strict=True)]
    evidence.series |= {"plane_x": _short(sides[0]), "plane_y": _short(sides[1])}
    for name in ("train", "train_clean"):
        pool = fixed(evidence.pool(name), settings.samples)
        batch = next(iter(pool.ordered(settings.samples)))
        losses = [
            [_loss(model, batch, middle + x * directions[0] + y * directions[1]) for x in sides[0]]
            for y in sides[1]
        ]
        if all(isfinite(loss) for row in losses for loss in row):
            for i, (y, row) in enumerate(zip(sides[1].tolist(), losses, strict=True)):
                evidence.series[f"{LOSSES[name]}:{i:02} {y:.3g}"] = row
    found = shares.tolist()
    return {"plane_variance": sum(found[:2]), "plane_variance_first": found[0]}


def _rows(path: Mapping[int, Mapping[str, torch.Tensor]], names: list[str]) -> torch.Tensor:
    """float32 [points, parameters]."""
    return torch.stack([torch.cat([w[name].flatten() for name in names]) for w in path.values()])


def _loss(model: nn.Module, batch: Batch, weights: torch.Tensor) -> float:
    parameters = list(model.parameters())
    parts = weights.split([p.numel() for p in parameters])
    with torch.no_grad():
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.copy_(part.view_as(parameter))
        return float(f"{float(F.cross_entropy(model(batch.x), batch.y)):.5g}")


def _use_statistics_of_samples(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()
            module.momentum = 0.0


def _short(values: torch.Tensor) -> list[float]:
    return [float(f"{value:.5g}") for value in values.tolist()]
