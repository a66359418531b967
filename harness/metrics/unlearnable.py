"""Unlearnable distance: how many layers stay sharp when a model is trained on perturbed data."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan

import attrs
from attrs import frozen

from harness.components import component, setting
from harness.errors import HarnessError
from harness.lazy import torch
from harness.metrics.evidence import Evidence
from harness.spec.requests import Prepare, Trained
from harness.training.sharpness import SAL, Sharpness

READINGS = {
    "": "the threshold is the mean over points of the training of the midpoint of the two centres "
    "of 2-means on the clean model's layers (as published)",
    "_pooled": "the threshold is that midpoint for all points and layers of the clean model",
    "_weighted": "as published, a layer counting its number of weights",
    "_mean": "ratio of mean SAL, without a threshold",
}
DOCS = {
    **{
        f"ud{name}": "Unlearnable distance: layers with SAL above a threshold, as a ratio to those "
        f"of the clean partner of the same seed; {how}. 1 is as clean; undefined where the clean "
        "partner has none."
        for name, how in READINGS.items()
    },
    **{
        f"ud_clean{name}": f"ud{name} of a clean training with another seed in place of the "
        "model's own: what seeds alone do."
        for name in READINGS
    },
    "ud_below_clean": "1 where ud is below both ud_clean and its inverse, so that seeds alone do "
    "not explain it, else 0.",
    "learnable_layers": "Layers with SAL above the published threshold, mean over points.",
    "sal": "Mean SAL over points and layers, in nats.",
    "sal_clean": "That of the clean partner.",
    "sharpness_cost": "What measuring the SAL of one model passes through it, as a share of what "
    "its training does; a sample backward counts two forward.",
}


@frozen
class UnlearnableDistance(Sharpness):
    """Settings of ``unlearnable_distance``: how SAL is measured, and against what."""

    other_seed: int = setting(
        1, doc="added to the model seed of the clean training that shows what seeds do", gt=0
    )


def _prepare(settings: UnlearnableDistance) -> tuple[Prepare, ...]:
    of = (
        None,
        Trained("clean", data="clean"),
        Trained("other", data="clean", seed=settings.other_seed),
    )
    own = {field.name: getattr(settings, field.name) for field in attrs.fields(Sharpness)}
    return tuple(Prepare(SAL, Sharpness(**own), "train", model) for model in of)


@component(
    "metrics",
    "unlearnable_distance",
    settings=UnlearnableDistance,
    source="Ye et al. ICLR 2025 (arXiv 2509.08058), definitions 2 and 3; its analysis/get_ud.py "
    "(protocol section 5.2)",
    outputs=lambda s: tuple(DOCS),
    docs=lambda s: DOCS,
    reads=lambda s: (),
    requests=_prepare,
    unit={"learnable_layers": "layers", "sal": "nats", "sal_clean": "nats"},
    range={**dict.fromkeys(DOCS, (0, None)), "ud_below_clean": (0, 1)},
)
def unlearnable_distance(evidence: Evidence, settings: UnlearnableDistance) -> dict[str, float]:
    """UD of the base model against a clean training with its seeds and recipe, and of another
    clean training against the same.

    The model's SAL is measured on its own training data, the clean ones' on clean data. It scales
    with the loss, so a model that fits its data fast has little: read UD beside accuracy, beside
    ``ud_clean``, and beside noise of the same budget.

    Leaves the series ``point`` (steps), ``learnable_layers`` and, layer by layer in the order of
    the model, ``sal:00 NAME`` and so on.
    """
    if evidence.answers is None:
        raise HarnessError("unlearnable_distance needs the sharpness that it asks for")
    own, clean, other = (
        evidence.answers.prepared(SAL, "train", of) for of in ("", "clean", "other")
    )
    sizes = own["parameters"]
    found = {f"ud{name}": value for name, value in ratios(own["sal"], clean["sal"], sizes).items()}
    seeds = ratios(other["sal"], clean["sal"], sizes)
    found |= {f"ud_clean{name}": value for name, value in seeds.items()}
    sharp = (own["sal"] > published_threshold(clean["sal"])).sum(1)
    base, passes = evidence.costs["base"], own["passes"].sum(0).tolist()
    evidence.series |= {"point": own["steps"].tolist(), "learnable_layers": sharp.tolist()}
    if own["sal"].isfinite().all():
        names = bytes(own["layers"].tolist()).decode().split("\n")
        for i, (name, column) in enumerate(zip(names, own["sal"].T, strict=True)):
            evidence.series[f"sal:{i:02} {name}"] = [float(f"{x:.5g}") for x in column.tolist()]
    return {
        **found,
        "ud_below_clean": _below(found["ud"], found["ud_clean"]),
        "learnable_layers": float(sharp.double().mean()),
        "sal": float(own["sal"].double().mean()),
        "sal_clean": float(clean["sal"].double().mean()),
        "sharpness_cost": (passes[0] + 2 * passes[1]) / (base["forward"] + 2 * base["backward"]),
    }


def _below(ud: float, clean: float) -> float:
    """Whether ``ud`` lies below what two clean trainings are to each other, whichever is first."""
    if not (ud >= 0 and clean >= 0):
        return nan
    return float(ud < clean and ud * clean < 1)


def ratios(
    found: torch.Tensor, clean: torch.Tensor, parameters: torch.Tensor
) -> Mapping[str, float]:
    """UD in each reading, of SAL [points, layers] against that of a clean model.

    Not a number where what it is to be divided by is 0, or where SAL is none.
    """
    found, clean, sizes = found.double(), clean.double(), parameters.double()
    if not (found.isfinite().all() and clean.isfinite().all()):
        return dict.fromkeys(READINGS, nan)
    beta, pooled = published_threshold(clean), midpoint(clean.flatten())
    pairs = {
        "": ((found > beta).double(), (clean > beta).double()),
        "_pooled": ((found > pooled).double(), (clean > pooled).double()),
        "_weighted": ((found > beta) * sizes, (clean > beta) * sizes),
        "_mean": (found, clean),
    }
    means = {name: (float(a.mean()), float(b.mean())) for name, (a, b) in pairs.items()}
    return {name: a / b if b else nan for name, (a, b) in means.items()}


def published_threshold(clean: torch.Tensor) -> float:
    """The mean over points of the midpoints of SAL [points, layers]."""
    return float(torch.tensor([midpoint(row) for row in clean], dtype=torch.float64).mean())


def midpoint(values: torch.Tensor) -> float:
    """Between the two centres of 2-means on ``values`` [n], which is solved exactly: in one
    dimension the clusters are the two sides of a cut of the sorted values. One value is its own."""
    ordered = values.double().sort().values
    count = len(ordered)
    if count < 2:
        return float(ordered.mean())
    left = torch.arange(1, count, dtype=torch.float64)
    sums = (ordered - ordered.mean()).cumsum(0)[:-1]  # those of the right sides are their negatives
    between = sums.square() / left + sums.square() / (count - left)
    cut = int(between.argmax()) + 1
    return float(ordered[:cut].mean() + ordered[cut:].mean()) / 2
