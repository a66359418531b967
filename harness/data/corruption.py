"""What a corruption does to the training data, and how rows of them are drawn."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from harness.data.types import Split
from harness.lazy import np, torch


@frozen(eq=False)
class Corruption:
    """The corrupted samples; of what is left out, the samples stay as they are.

    rows: int64 [m] of the training data, each once.
    targets: their new labels, int64 [m].
    inputs: their new inputs [m, *shape], stored as the data set's are; images may be float32
        intensities in [0, 255] instead, which reach augmentation unrounded and unclipped.
    deltas: float32 [m, *shape], added to their stored inputs; of images in intensities of 255.
    rule: their inputs are made whenever a batch is drawn, by the component's trait ``rule``.
    added: samples that are appended to the training data, stored as its own or, for images, as
        float32. Their rows follow the data set's last; they count as training and as corrupted.
    tensors: whatever else the corruption leaves, by name: for its rule, and for metrics
        (``Evidence.corruption``).

    At most one of inputs, deltas and rule is given.
    """

    rows: torch.Tensor
    targets: torch.Tensor | None = None
    inputs: torch.Tensor | None = None
    deltas: torch.Tensor | None = None
    rule: bool = False
    added: Split | None = None
    tensors: Mapping[str, torch.Tensor] = field(factory=dict)


def draw(
    rows: torch.Tensor,
    wanted: int,
    generator: torch.Generator,
    numpy_seed: int | None = None,
    after: int = 0,
) -> torch.Tensor:
    """The first ``wanted`` of one permutation of ``rows``: smaller draws are part of larger.

    With ``numpy_seed`` it is the permutation of numpy's legacy generator of that seed, which
    published code draws from, after one of ``after`` rows; ``generator`` is not read.
    """
    if numpy_seed is not None:
        stream = np.random.RandomState(numpy_seed)
        stream.permutation(after)
        order = torch.from_numpy(stream.permutation(len(rows)))
    else:
        order = torch.randperm(len(rows), generator=generator)
    return rows[order[:wanted]]
