"""Forgetting by masking key-value pairs of a bottleneck: no gradient and no retain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from attrs import frozen

from harness.components import NoSettings, component, setting
from harness.lazy import nn, torch
from harness.methods.preparations.key_counts import bottleneck
from harness.methods.task import Task
from harness.spec.requests import Prepare

if TYPE_CHECKING:
    from harness.models._bottleneck import KeyValueBottleneck

SOURCE = "Shah et al. TMLR 2025 (arXiv 2311.15268)"
POINTS = 40  # of the series

Masking = Literal["exclude", "zero"]


def _masking() -> Any:
    return setting(
        "exclude",
        doc="a masked pair cannot be selected, so that the next key is, or it is and gives nothing",
    )


@frozen
class MaskActivations:
    """Settings of ``mask_activations``."""

    pairs: int = setting(
        doc="pairs that are masked (N_a), at most all that the forget set selects",
        unit="pairs",
        ge=0,
        example=1000,
    )
    over: Literal["all", "codebook"] = setting(
        "all", doc="one order of the pairs of all codebooks, or the same number from each"
    )
    masking: Masking = _masking()


@component(
    "methods",
    "mask_activations",
    settings=MaskActivations,
    source=f"unlearning via activations, {SOURCE}, algorithm 1",
    sees=frozenset({"forget", "original weights"}),
    requests=lambda settings: (Prepare("key_counts", NoSettings(), "forget"),),
)
def mask_activations(model: nn.Module, task: Task, settings: MaskActivations) -> nn.Module:
    """Mask the N_a pairs that the forget set selects most often; of equal ones, the first.

    The series say what share of its own selections each part of the training data makes (``forget``
    and ``retain``) among a share of the pairs in use (``pairs_share``), in that order.
    Raises HarnessError where the model is no key-value bottleneck.
    """
    kept = bottleneck(model)
    counts = task.prepared("key_counts", "forget")["counts"].to(kept.uses)
    order = _most_used(counts, settings.over)
    _series(task, kept.uses, counts)
    touched = order[: int((counts > 0).sum())]
    return _masked(kept, task, touched[: settings.pairs], settings.masking)


def _most_used(counts: torch.Tensor, over: str) -> torch.Tensor:
    """The pairs int64 [C * P] from the most used on; those with no use come last."""
    if over == "all":
        return counts.flatten().sort(descending=True, stable=True).indices
    places = counts.sort(dim=1, descending=True, stable=True).indices
    ranks = torch.empty_like(places)
    numbers = torch.arange(places.shape[1], device=places.device).expand_as(places)
    ranks.scatter_(1, places, numbers)
    ranks[counts == 0] = places.shape[1]
    largest = int(counts.max()) + 1
    first_ranks = ranks.flatten() * largest - counts.flatten()
    return first_ranks.sort(stable=True).indices


def _series(task: Task, uses: torch.Tensor, counts: torch.Tensor) -> None:
    others = (uses - counts).clamp(min=0).flatten()
    order = _most_used(counts, "all")
    used = int((uses > 0).sum())
    ends = torch.linspace(0, used, POINTS + 1).long()
    task.series["pairs_share"] = (ends / max(used, 1)).tolist()
    for name, each in (("forget", counts.flatten()), ("retain", others)):
        sums = torch.cat([each.new_zeros(1), each[order]]).cumsum(0).double()
        task.series[name] = (sums[ends.to(sums.device)] / sums[-1].clamp(min=1)).tolist()


@frozen
class MaskExamples:
    """Settings of ``mask_examples``."""

    examples: int = setting(
        doc="samples of the forget set, drawn, whose pairs are masked (N_e)",
        unit="samples",
        ge=0,
        example=100,
    )
    masking: Masking = _masking()


@component(
    "methods",
    "mask_examples",
    settings=MaskExamples,
    source=f"unlearning via examples, {SOURCE}, algorithm 2",
    sees=frozenset({"forget", "original weights"}),
    work=lambda s, sizes: (min(s.examples, sizes.forget), 0),
)
def mask_examples(model: nn.Module, task: Task, settings: MaskExamples) -> nn.Module:
    """Mask every pair that any of N_e samples of the forget set selects; all of them are, at most.

    Raises HarnessError where the model is no key-value bottleneck.
    """
    kept, forget = bottleneck(model), task.forget
    drawn = torch.randperm(len(forget), generator=task.generator("examples"))
    pool = forget.subset(drawn[: settings.examples].to(forget.device))
    counts = kept.counts(pool, task.watch).flatten()
    return _masked(kept, task, counts.nonzero()[:, 0], settings.masking)


@frozen
class MaskRandom:
    """Settings of ``mask_random``."""

    pairs: int = setting(doc="pairs that are masked", unit="pairs", ge=0, example=1000)
    masking: Masking = _masking()


@component(
    "methods",
    "mask_random",
    settings=MaskRandom,
    source="a control: as many pairs as mask_activations masks, whatever selects them",
    sees=frozenset({"original weights"}),
)
def mask_random(model: nn.Module, task: Task, settings: MaskRandom) -> nn.Module:
    """Mask pairs drawn from all that training samples select.

    Raises HarnessError where the model is no key-value bottleneck.
    """
    kept = bottleneck(model)
    used = kept.uses.flatten().nonzero()[:, 0]
    drawn = torch.randperm(len(used), generator=task.generator("pairs"))[: settings.pairs]
    return _masked(kept, task, used[drawn.to(used.device)], settings.masking)


def _masked(
    model: KeyValueBottleneck, task: Task, pairs: torch.Tensor, masking: Masking
) -> nn.Module:
    """``model`` without ``pairs``, int64 [n] of all C * P."""
    from harness.models._bottleneck import EXCLUDED, ZERO

    model.masked.view(-1)[pairs] = EXCLUDED if masking == "exclude" else ZERO
    task.facts["masked_pairs"] = len(pairs)
    task.facts["masked_share"] = len(pairs) / max(int((model.uses > 0).sum()), 1)
    return model
