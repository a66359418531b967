"""Projected gradient ascent on the inputs: adversarial training."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from harness.components import component, setting
from harness.data.encodings import Images
from harness.data.pool import Batch
from harness.lazy import F, nn, torch


@frozen
class Pgd:
    """Settings of ``pgd``."""

    eps: float = setting(
        8.0, doc="largest change of an intensity", unit="intensities of 255", gt=0, le=255
    )
    step_size: float = setting(
        2.0, doc="change of an intensity in one step", unit="intensities of 255", gt=0
    )
    steps: int = setting(10, doc="gradient steps", unit="steps", gt=0)
    start: Literal["gaussian", "uniform", "image"] = setting(
        "gaussian",
        doc="with Gaussian noise of deviation step_size, uniform noise within eps, or none",
    )


@component(
    "adversaries",
    "pgd",
    settings=Pgd,
    source="Madry et al., ICLR 2018, arXiv 1706.06083, equation 2.1; start and defaults as in "
    "lafeat/apbench, mardrys.py",
    work=lambda settings: (settings.steps, settings.steps),
)
def pgd(
    model: nn.Module, batch: Batch, settings: Pgd, encoding: Images, generator: torch.Generator
) -> torch.Tensor:
    """Steps along the sign of the gradient of the cross-entropy, with the model in eval mode.

    After each step the image is put back to within ``eps`` of the given one in every intensity,
    and into [0, 255]. A Gaussian start is not put back before the first step, as published.
    """
    model.eval()
    clean = encoding.intensities(batch.x).detach()
    found = clean
    if settings.start == "gaussian":
        noise = torch.randn(clean.shape, generator=generator)
        found = clean + settings.step_size * noise.to(clean.device)
    elif settings.start == "uniform":
        noise = 2 * torch.rand(clean.shape, generator=generator) - 1
        found = (clean + settings.eps * noise.to(clean.device)).clamp(0, 255)
    with torch.enable_grad():
        for _ in range(settings.steps):
            found = found.detach().requires_grad_(True)
            logits = model(encoding.batch(found)).float()
            loss = F.cross_entropy(logits, batch.y, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, found)
            stepped = found.detach() + settings.step_size * gradient.sign()
            near = torch.minimum(torch.maximum(stepped, clean - settings.eps), clean + settings.eps)
            found = near.clamp(0, 255)
    return encoding.batch(found)
