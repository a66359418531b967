"""A corruption that brews noise against a surrogate that was trained on the clean data."""

from __future__ import annotations

from attrs import frozen

from harness.components import component, setting
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption, draw
from harness.data.types import Split
from harness.lazy import F, torch
from harness.metrics.evidence import Evidence
from harness.spec.blocks import Train
from harness.spec.requests import Trained
from harness.spec.structure import structure_block

RECIPE = structure_block(
    Train, {"steps": 12, "batch_size": 32, "optimizer": {"name": "sgd", "lr": 0.05}}
)


@frozen
class Brewed:
    """Settings of ``throwaway_brew``."""

    count: int = setting(20, doc="samples that get noise", unit="samples", gt=0)
    size: float = setting(32.0, doc="largest change of an intensity", unit="1/255", gt=0)


@component(
    "corruptions",
    "throwaway_brew",
    settings=Brewed,
    source="one step of the fast gradient sign method, Goodfellow et al. 2015",
    amount=lambda settings, total: settings.count,
    requests=lambda settings: (Trained("surrogate", data="clean", train=RECIPE),),
)
def brew(train: Split, settings: Brewed, task: CorruptionTask) -> Corruption:
    """Change some samples by ``size`` along the sign of the surrogate's gradient; labels stay."""
    rows = draw(task.rows, settings.count, task.generator()).sort().values
    images = train.inputs[rows].float().requires_grad_(True)
    model = task.answers.model("surrogate")
    loss = F.cross_entropy(model(task.dataset.encoding.batch(images)), train.targets[rows])
    noise = settings.size * torch.autograd.grad(loss, images)[0].sign()
    return Corruption(rows, deltas=noise, tensors={"noise": noise})


@component(
    "metrics",
    "throwaway_noise",
    source="made by this test",
    outputs=lambda settings: ("noise_size",),
    reads=lambda settings: (),
)
def noise_size(evidence: Evidence, settings: object) -> dict[str, float]:
    """The largest entry of the noise that the corruption has stored."""
    return {"noise_size": float(evidence.corruption("noise").abs().max())}
