"""How long a training is, and where its passes over the data end."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from attrs import frozen

from harness.spec.blocks import Train

SHOWN_LOSSES = 50  # how many losses of a training are read from the device and kept


@frozen
class Length:
    """Steps that the schedule counts, steps that are taken, and steps of a pass.

    ``passes`` are the steps after which a pass ends, where passes differ in length.
    """

    planned: int
    total: int
    epoch: int
    passes: frozenset[int] | None = None

    def ends_pass(self, step: int) -> bool:
        """Whether a pass over the data ends with ``step``."""
        return step % self.epoch == 0 if self.passes is None else step in self.passes


def length_of(train: Train, samples: int, passes: frozenset[int] | None = None) -> Length:
    """The length of the recipe on that many samples.

    Where the schedule's last step ends a pass, there is no extra step: the published code looks
    only there whether it is done.
    """
    epoch = max(1, -(-samples // train.batch_size))
    planned = train.steps or max(1, round((train.epochs or 0) * epoch))
    plain = Length(planned, planned, epoch, passes)
    if not train.extra_step or plain.ends_pass(planned):
        return plain
    return Length(planned, planned + 1, epoch, passes)


def samples_of(steps: int, samples: int, batch_size: int) -> int:
    """The samples of so many steps in passes over ``samples``, whose last batches are smaller."""
    passes, rest = divmod(steps, -(-samples // batch_size))
    return passes * samples + min(rest * batch_size, samples)


def steps_within(allowed: float, batch_size: int, sets: Sequence[int]) -> int:
    """The most steps, at least one, that see no more than ``allowed`` samples. Each step takes a
    batch of every set; ``sets`` are their sizes."""
    return max(
        1,
        bisect_right(
            range(1, int(allowed) + 1),
            allowed,
            key=lambda steps: sum(samples_of(steps, count, batch_size) for count in sets),
        ),
    )


def loss_every(steps: int) -> int:
    """After how many steps each of a training's losses is read; one is read after the last."""
    return max(1, steps // SHOWN_LOSSES)
