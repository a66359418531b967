"""What was done to training data, as forget sets and methods meet it, and how samples are drawn."""

from __future__ import annotations

from attrs import frozen

from harness.lazy import np, torch


@frozen(eq=False)
class Corruption:
    """``rows`` int64 [m], sorted, of the training data; their new labels ``targets`` int64 [m];
    and their new ``inputs`` uint8 [m, C, H, W], or None where images stay as they are."""

    rows: torch.Tensor
    targets: torch.Tensor
    inputs: torch.Tensor | None = None


def draw(
    rows: torch.Tensor, wanted: int, generator: torch.Generator, numpy_seed: int | None = None
) -> torch.Tensor:
    """The first ``wanted`` of one permutation of ``rows``: smaller draws are part of larger.

    With ``numpy_seed`` it is the permutation of numpy's legacy generator of that seed, which
    published code draws from; ``generator`` is not read.
    """
    if numpy_seed is not None:
        order = torch.from_numpy(np.random.RandomState(numpy_seed).permutation(len(rows)))
    else:
        order = torch.randperm(len(rows), generator=generator)
    return rows[order[:wanted]]
