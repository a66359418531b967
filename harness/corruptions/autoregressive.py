"""AR: noise in which each value follows from its neighbours by coefficients of its class."""

from __future__ import annotations

from attrs import frozen

from harness.components import component, setting
from harness.corruptions.task import CorruptionTask
from harness.corruptions.types import Corruption
from harness.corruptions.unlearnable import (
    Rounding,
    Unlearnable,
    chosen,
    expected,
    how_stored,
    unlearnable,
)
from harness.data.types import Split
from harness.errors import HarnessError
from harness.lazy import F, torch

CROP = 4  # first rows and columns that are not kept: the random start and what is near it
TRIALS = 3  # patterns of a candidate, none of which may grow
CANDIDATES = 4096  # coefficients tried at a time
KEPT = 192  # those of the loudest filters, which the classes' are chosen from
ROUNDS = 50  # of candidates, before the search is given up
SIDE = 32  # of the published images, which the two limits are made for


@frozen
class Autoregressive(Unlearnable):
    """Settings of ``autoregressive``."""

    l2: float = setting(
        1.0, doc="L2 norm of an image's noise", unit="intensities of [0, 1]", gt=0, le=1000
    )
    largest: float = setting(
        50.0,
        doc="L2 norm of an unscaled trial pattern of 3 x 32 x 32 values above which coefficients "
        "are rejected; of other sizes with the root of the number of values",
        gt=0,
    )
    response: float = setting(
        10.0,
        doc="what the filter of every earlier class must answer to a class's pattern of length 1, "
        "or its coefficients are rejected; 3 where there are 100 classes",
        ge=0,
    )
    rounding: Rounding = how_stored()


@component(
    "corruptions",
    "autoregressive",
    settings=Autoregressive,
    amount=expected,
    leaves=frozenset({"linf", "l2"}),
    source="Sandoval-Segura et al., arXiv 2206.03693, section 3 and appendix; repository "
    "psandovalsegura/autoregressive-poisoning (protocol unlearnability, section 4)",
)
def autoregressive(train: Split, settings: Autoregressive, task: CorruptionTask) -> Corruption:
    """Add to each image a pattern of its class's process, from a random start of its own.

    A process has 3 x 3 coefficients for each channel, of which the last is 0 and the others sum to
    1. They are found by rejection: no trial pattern may grow, and every filter (the coefficients,
    with -1 in the last place) must answer the patterns of all later classes. The published search
    takes whatever comes first; this one chooses among many, or ten would take minutes to find.

    The length is that before clipping and rounding, which 8 bits raise by about 0.2 %. Left are
    ``linf`` and ``l2``, float32 [m] in intensities of [0, 1], of the stored images, and the
    ``coefficients``, float32 [classes, C, 3, 3].

    Raises:
        HarnessError: no coefficients are found for all classes.
    """
    rows, shape = chosen(settings, task), train.inputs.shape[1:]
    classes = len(task.dataset.classes)
    coefficients = processes(settings, classes, shape, task.generator("coefficients"))
    labels, draws = train.targets[rows], task.generator("noise")

    def change(x: torch.Tensor, at: slice) -> torch.Tensor:
        made = patterns(coefficients[labels[at]], shape[1], shape[2], draws)
        return x + 255 * settings.l2 * made / _lengths(made)

    return unlearnable(train, rows, change, settings.rounding, coefficients=coefficients)


def patterns(
    coefficients: torch.Tensor, height: int, width: int, generator: torch.Generator
) -> torch.Tensor:
    """float32 [B, C, height, width], one of each ``coefficients`` [B, C, 3, 3].

    Two rows and two columns start as Gaussian noise. In raster order every other value is the sum
    of the 3 x 3 values that end with it, its own left out, times the coefficients.
    """
    down, across = height + CROP, width + CROP
    a = coefficients.permute(2, 3, 0, 1).contiguous()
    values = torch.empty(down, across, *a.shape[2:])
    values[:2] = torch.randn(values[:2].shape, generator=generator)
    values[2:, :2] = torch.randn(values[2:, :2].shape, generator=generator)
    for i in range(2, down):
        above = torch.zeros(across - 2, *a.shape[2:])
        for k in (0, 1):
            for m in range(3):
                above.addcmul_(values[i - 2 + k, m : m + across - 2], a[k, m])
        for j in range(2, across):
            near = a[2, 0] * values[i, j - 2] + a[2, 1] * values[i, j - 1]
            torch.add(above[j - 2], near, out=values[i, j])
    return values[CROP:, CROP:].permute(2, 3, 0, 1).contiguous()


def processes(
    settings: Autoregressive, classes: int, shape: torch.Size, generator: torch.Generator
) -> torch.Tensor:
    """The coefficients, float32 [classes, C, 3, 3]. Trial patterns are at least as large as the
    published ones, and larger where the images are.

    Raises:
        HarnessError: ``ROUNDS`` of candidates do not hold enough of them.
    """
    channels, side = shape[0], max(SIDE, *shape[1:])
    limit = settings.largest * (channels * side**2 / (3 * SIDE**2)) ** 0.5
    wanted, kept = settings.response * side / SIDE, max(KEPT, 4 * classes)
    pool, shown = torch.empty(0, channels, 3, 3), torch.empty(0, channels, side, side)
    for _ in range(ROUNDS):
        drawn = torch.randn(CANDIDATES, channels, 3, 3, generator=generator)
        drawn[..., 2, 2] = 0
        drawn /= drawn.sum((2, 3), keepdim=True)
        for _ in range(TRIALS):
            made = patterns(drawn, side, side, generator)
            lengths = _lengths(made)
            small = (lengths <= limit).flatten()
            drawn, made = drawn[small], (made / lengths)[small]
        pool, shown = torch.cat([pool, drawn]), torch.cat([shown, made])
        loudest = pool.flatten(1).norm(dim=1).argsort(descending=True)[:kept]
        pool, shown = pool[loudest], shown[loudest]
        found = _different(answers(pool, shown) >= wanted)
        if len(found) >= classes:
            return pool[found[:classes]]
    raise HarnessError(
        f"autoregressive: coefficients of {len(found)} classes of {classes} were found among "
        f"{ROUNDS * CANDIDATES:,}; lower 'response' or raise 'largest'"
    )


def answers(coefficients: torch.Tensor, patterns: torch.Tensor) -> torch.Tensor:
    """What each filter of ``coefficients`` [k, C, 3, 3] answers to ``patterns`` [n, C, H, W], [n,
    k]: the sum of the positive differences between what it predicts and what is there."""
    filters = coefficients.clone()
    filters[..., 2, 2] = -1
    return F.conv2d(patterns, filters).relu().sum((2, 3))


def _different(answered: torch.Tensor) -> list[int]:
    """Numbers of processes, of which each filter answers all patterns after its own: always the
    one next that leaves the most to choose from. ``answered``: bool [pattern, filter]."""
    left, found = torch.ones(len(answered), dtype=torch.bool), []
    while left.any():
        leaves = torch.where(left, answered[left].sum(0), -1)
        found.append(int(leaves.argmax()))
        left &= answered[:, found[-1]]
        left[found[-1]] = False
    return found


def _lengths(patterns: torch.Tensor) -> torch.Tensor:
    return patterns.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
