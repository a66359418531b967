"""The discrete key-value bottleneck: a classifier whose only trainable weights are looked up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from attrs import frozen

from harness.components import Facts, Misfit, component, setting
from harness.data.encodings import Features
from harness.lazy import nn


@frozen
class Bottleneck:
    """Settings of ``key_value_bottleneck``; defaults are those of the official code's sweeps."""

    codebooks: int = setting(256, doc="codebooks, each with a projection of its own", gt=0)
    pairs: int = setting(4096, doc="key-value pairs of a codebook", unit="pairs", gt=1)
    key_size: int = setting(14, doc="entries of a key", gt=0)
    top_k: int = setting(1, doc="nearest keys whose values are fetched", unit="pairs", gt=0)
    key_epochs: int = setting(
        10, doc="passes over the training data that place the keys", unit="epochs", ge=0
    )
    key_batch_size: int = setting(256, doc="samples of one moving average", unit="samples", gt=0)
    key_decay: float = setting(0.95, doc="decay of the moving averages", ge=0, lt=1)
    key_smoothing: float = setting(1e-5, doc="Laplace smoothing of the averaged counts", gt=0)
    dead_share: float = setting(
        0.1,
        doc="a key whose averaged count is below this share of key_batch_size / pairs is moved to "
        "a sample of the batch",
        ge=0,
    )
    unused: Literal["excluded", "kept"] = setting(
        "excluded", doc="pairs that no training sample selects cannot be selected, or they can"
    )
    gradient: Literal["dense", "sparse"] = setting(
        "dense",
        doc="sparse holds the rows of a batch only, for optimisers that take it: SGD without "
        "momentum and weight decay",
    )


def misfits(settings: Bottleneck, facts: Facts) -> Iterator[Misfit]:
    """More pairs fetched than there are (trait ``check``)."""
    if settings.top_k > settings.pairs:
        yield Misfit("top_k", f"a codebook has {settings.pairs} pairs; found {settings.top_k}")


@component(
    "models",
    "key_value_bottleneck",
    settings=Bottleneck,
    source="Traeuble et al. ICML 2023 (arXiv 2207.11240), section 3; settings, moving averages and "
    "unused pairs as in its code, ftraeuble/discrete_key_value_bottleneck at 1987958",
    takes=frozenset({"features"}),
    check=misfits,
)
def key_value_bottleneck(settings: Bottleneck, encoding: Features, classes: int) -> nn.Module:
    """Mean over codebooks c of the sum of the values V[c, j] of the top_k keys nearest to R_c^T x.

    R_c is random with columns of norm 1, and fixed. Keys start at N(0, 1) and are placed by moving
    averages over the inputs of the model's first training; then they are frozen too. Values start
    at 0 and are all that is trained. float32 [B, size] to logits [B, classes].

    Weights: ``projections`` [size, C, key_size], ``keys`` [C, P, key_size], ``uses`` int32 [C, P]
    (how many training samples select a pair), ``masked`` uint8 [C, P] (0; 1: it cannot be selected;
    2: it gives nothing), ``placed`` and ``values.weight`` [C * P, classes].

    On a CPU a process remembers which keys are nearest to each input that it has seen, so that the
    search, nearly all of the work, is done once for each set of keys.
    """
    from harness.models._bottleneck import KeyValueBottleneck

    return KeyValueBottleneck(settings, encoding.size, classes)
