"""The Gaussian unlearning score: what a model still knows of the noise that it was trained on."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from statistics import NormalDist
from typing import Any, Literal

from attrs import frozen

from harness.components import Facts, Misfit, component, setting
from harness.components.contracts import Encoding
from harness.data.pool import Pool
from harness.errors import Diverged
from harness.lazy import nn, torch
from harness.metrics.evidence import Evidence


@frozen
class GaussianScore:
    """Settings of ``gaussian_unlearning_score``."""

    evaluate_at: Literal["clean", "poisoned"] = setting(
        "clean", doc="input at which the loss is differentiated"
    )
    allow_biased: bool = setting(
        False,
        doc="allow evaluate_at: poisoned, which finds noise in models that never saw any",
    )
    dtype: Literal["float64", "float32"] = setting(
        "float64", doc="arithmetic of the model while it is measured, whatever the recipe's is"
    )
    false_positive_rate: float = setting(
        0.01, doc="gus_tpr of a model that never saw the noise, on average", gt=0, lt=1
    )
    batch_size: int = setting(
        64, doc="inputs that are differentiated at once", unit="samples", gt=0
    )


def biased(settings: GaussianScore, facts: Facts) -> Iterable[Misfit]:
    """The poisoned input without consent (trait ``check``)."""
    if settings.evaluate_at == "poisoned" and not settings.allow_biased:
        what = (
            "the gradient at the poisoned input depends on the noise itself, so a model that never "
            "saw it scores too; use clean, or set allow_biased: true"
        )
        yield Misfit("evaluate_at", what)


MEANING = {
    "gus": "Mean I of the samples with noise; above 0: the model still knows their noise.",
    "gus_z": "gus * sqrt(samples): about N(0, 1) for a model that never saw the noise.",
    "gus_tpr": "Share of the samples whose own I is significant.",
    "gus_fresh_z": "gus_z against noise that nobody was trained on: about N(0, 1) for every model.",
    "gus_raw": "gus with its sign turned: that of the gradient of the loss itself.",
    "gus_left_out": "Samples left out because the model answers alike all around them.",
}


@component(
    "metrics",
    "gaussian_unlearning_score",
    settings=GaussianScore,
    source="Pawelczyk et al., arXiv 2406.17216 (protocol section 3.1); sign and control are ours",
    outputs=lambda s: tuple(MEANING),
    docs=lambda s: MEANING,
    reads=lambda s: ("corrupted_clean",),
    needs=frozenset({"left:noise", "left:std"}),
    better={
        "gus": "lower",
        "gus_z": "lower",
        "gus_tpr": "lower",
        **dict.fromkeys(("gus_raw", "gus_fresh_z", "gus_left_out"), "none"),
    },
    unit={"gus_tpr": "share", "gus_left_out": "samples"},
    range={"gus_tpr": (0, 1), "gus_left_out": (0, None)},
    check=biased,
)
def gaussian_unlearning_score(evidence: Evidence, settings: GaussianScore) -> dict[str, float]:
    """How far the loss falls along each sample's own noise, against what chance gives.

    For each sample with noise xi ~ N(0, std^2), discovered or not, with g the gradient of its loss
    at its clean, unaugmented input in eval mode::

        I = -<g, xi> / (std |g|)          gus = mean I          gus_z = gus * sqrt(samples)

    A model that never saw xi has I ~ N(0, 1) exactly, since g does not depend on xi. Training on
    x + xi lowers the loss in the direction of xi, so that I is positive; a source that takes g as
    it is has the other sign (``gus_raw``). gus_tpr is the share of samples whose I is beyond the
    quantile of N(0, 1) that ``false_positive_rate`` says. gus_fresh_z is gus_z of the same
    gradients with one new draw of noise: about N(0, 1) whatever the model has seen.

    Zero is best, and strongly negative is no better: the model then has been pushed away from the
    noise. A score that vanishes with the accuracy is damage, not unlearning.

    g is taken in the space that the noise was drawn in, where alone it is the same in all
    directions: intensities of images as stored, features, embeddings of tokens.

    Raises:
        Diverged: gradients are not finite, or the model answers alike around every sample.
    """
    noise, std = evidence.corruption("noise"), evidence.corruption("std").item()
    model = copy.deepcopy(evidence.model("unlearned")).to(getattr(torch, settings.dtype))
    pool, draws = evidence.pool("corrupted_clean"), evidence.generator("fresh noise")
    own, fresh = [], []
    for rows, direction in _directions(model.requires_grad_(False), pool, noise, settings):
        own.append(_along(direction, noise[rows] / std))
        fresh.append(_along(direction, torch.randn(noise[rows].shape, generator=draws)))
    scores, control = -torch.cat(own), -torch.cat(fresh)
    counted = ~scores.isnan()
    count = int(counted.sum())
    if not count:
        raise Diverged("the unlearned model answers alike around every sample with noise")
    mean, fresh_mean = float(scores[counted].mean()), float(control[counted].mean())
    beyond = NormalDist().inv_cdf(1 - settings.false_positive_rate)
    return {
        "gus": mean,
        "gus_z": mean * count**0.5,
        "gus_tpr": int((scores > beyond).sum()) / count,
        "gus_fresh_z": fresh_mean * count**0.5,
        "gus_raw": -mean,
        "gus_left_out": float(len(scores) - count),
    }


def _along(direction: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Inner products [b] on the CPU of unit vectors with ``noise``, both [b, ...]."""
    return (direction * noise.to(direction)).flatten(1).sum(1).cpu()


def _directions(
    model: nn.Module, pool: Pool, noise: torch.Tensor, settings: GaussianScore
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Which samples, and g / |g| [b, *shape] of each, NaN where g is zero.

    The loss is log(1 + e^m), with m the log of the sum of e^z over the other classes' logits z,
    minus the logit of the sample's class. Its gradient has the direction of that of m, which keeps
    its digits where the model is so sure that the loss rounds to zero. Samples do not see each
    other in eval mode, so one backward pass of the sum gives every sample's own gradient.
    """
    slope = _slope(pool.encoding)
    for first in range(0, len(pool), settings.batch_size):
        rows = slice(first, first + settings.batch_size)
        x, leaf = _inputs(pool, rows, noise, settings)
        logits, y = model(x), pool.targets[rows, None]
        others = logits.scatter(1, y, -torch.inf).logsumexp(1)
        m = others - logits.gather(1, y).squeeze(1)
        g = torch.autograd.grad(m.sum(), leaf)[0] * slope.to(leaf)
        if not g.isfinite().all():
            raise Diverged("the unlearned model diverged: gradients at its inputs are not finite")
        each = (-1, *[1] * (g.dim() - 1))
        g = g / g.flatten(1).abs().amax(1).view(each)  # squares of tiny gradients would be zero
        yield rows, g / g.flatten(1).norm(dim=1).view(each)


def _inputs(
    pool: Pool, rows: slice, noise: torch.Tensor, settings: GaussianScore
) -> tuple[Any, torch.Tensor]:
    """What the model takes, and the part of it that is differentiated: of tokens, a shift of their
    embeddings."""
    stored, dtype = pool.inputs[rows], getattr(torch, settings.dtype)
    added = noise[rows].to(pool.device) * (settings.evaluate_at == "poisoned")
    if pool.encoding.name == "tokens":
        shift = added.to(dtype).requires_grad_()
        return pool.encoding.batch(stored)._replace(shift=shift), shift
    x = pool.encoding.batch(stored + added).to(dtype).requires_grad_()
    return x, x


def _slope(encoding: Encoding) -> torch.Tensor:
    """The derivative [1, *shape] of what is differentiated by that which the noise was added to."""
    if encoding.name == "tokens":
        return torch.ones(1)
    stored = encoding.stored(1).float().requires_grad_()
    return torch.autograd.grad(encoding.batch(stored).sum(), stored)[0]
