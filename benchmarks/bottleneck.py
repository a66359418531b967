"""What a look-up in the key-value bottleneck costs: python benchmarks/bottleneck.py

256 x 4,096 pairs on random features, a third of the pairs masked, one thread: the nearest keys
searched or remembered, the nearest 24 found in turn or at once, and the tables of a batch read in
three ways.
"""

from __future__ import annotations

import torch

from harness.models import _nearest
from harness.models._bottleneck import KeyValueBottleneck
from harness.models.key_value_bottleneck import Bottleneck
from side_by_side import interleaved, middle, write

SAMPLES, SIZE, BATCH = 1024, 1280, 512


def passes() -> dict[str, list[float]]:
    """Logits of all samples."""
    model = KeyValueBottleneck(Bottleneck(), SIZE, 10).eval()
    model.uses += torch.randint(0, 3, model.uses.shape, dtype=torch.int32)
    model.placed.fill_(True)
    samples = torch.randn(SAMPLES, SIZE)

    @torch.no_grad()
    def looked_up() -> None:
        for x in samples.split(BATCH):
            model(x)

    def searched() -> None:
        _nearest._known.clear()
        looked_up()

    return interleaved({"a pass, keys searched": searched}, 3) | interleaved(
        {"a pass, keys remembered": looked_up}, 9
    )


def ranks() -> dict[str, list[float]]:
    """The largest of the scores of 256 samples in one codebook, twenty times."""
    scores = torch.randn(256, 4096)

    def found(count: int, groups: int) -> None:
        _nearest.GROUPS = groups
        for _ in range(20):
            _nearest.largest(scores.clone(), count)

    groups = _nearest.GROUPS
    ways = {
        "20 x 16 largest, in turn": lambda: found(16, 0),
        "20 x 24 largest, in turn": lambda: found(24, 0),
        "20 x 24 largest, at once": lambda: found(24, groups),
    }
    return interleaved(ways, 9)


def tables() -> dict[str, list[float]]:
    """Which selected pairs of a batch are masked, twenty times."""
    books, pairs = torch.arange(256)[:, None], torch.randint(4096, (BATCH, 256, 1))
    masked = torch.rand(256, 4096) < 1 / 3
    flat, rows = masked.flatten(), (books * 4096 + pairs).flatten()

    def repeated(read):  # type: ignore[no-untyped-def]
        return lambda: [read() for _ in range(20)]

    ways = {
        "20 tables, two indices": repeated(lambda: masked[books, pairs]),
        "20 tables, one index": repeated(lambda: flat[rows]),
        "20 tables, one index, selected": repeated(lambda: flat.index_select(0, rows)),
    }
    return interleaved(ways, 9)


def main() -> None:
    """Measure and write ``results/bottleneck.md``."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rows: list[list[object]] = [
        [way, middle(seconds)] for way, seconds in (passes() | ranks() | tables()).items()
    ]
    note = f"{SAMPLES:,} samples, batches of {BATCH}; a pass was searched 3 times."
    write("bottleneck", "Looking up pairs", ["way", "median of 9 (range)"], rows, note)


if __name__ == "__main__":
    main()
