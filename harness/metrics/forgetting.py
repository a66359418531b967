"""The score of the NeurIPS 2023 machine unlearning challenge, over populations of models."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from attrs import frozen

from harness.components import component, setting
from harness.errors import HarnessError
from harness.lazy import torch
from harness.metrics.populations import Populations
from harness.spec.requests import Outputs

if TYPE_CHECKING:
    import numpy as np

    Vector = np.ndarray[tuple[int], np.dtype[np.float64]]
    Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]

DELTA, CAP = 1e-5, 50.0
PER_UNIT = 100  # thresholds in a unit of the confidence
BUFFER = 2.0  # how far the ends of an interval are moved to either side
THRESHOLDS = math.ceil(PER_UNIT * 2 * BUFFER)  # of each end of an interval
ROUNDING = 1e-9  # more than what a start of an interval can be off
SPIKY = 0.01  # the least ratio of two ranges
TINY = 1e-45  # so that no logarithm is of zero
BIN = 0.5  # width, in epsilon
LEAST = 4  # models on a side, so that a half of them has a spread
INDEPENDENT = 1_000_000  # added to a seed, so that no model is on both sides


def confidence(logits: torch.Tensor, targets: torch.Tensor) -> Matrix:
    """ln p(label) - ln of all other classes' share: float64 [models, samples].

    ``logits`` are float32 [models, samples, classes], ``targets`` int64 [samples].
    """
    shares = logits.double().softmax(2)
    label = targets.view(1, -1, 1).expand(len(logits), -1, 1)
    right = shares.gather(2, label).squeeze(2)
    wrong = shares.scatter(2, label, 0.0).sum(2)
    found: Matrix = ((right + TINY).log() - (wrong + TINY).log()).numpy()
    return found


@lru_cache(maxsize=16)
def _epsilons(negatives: int, positives: int) -> Matrix:
    """Of a rule, by its counts of false positives and false negatives.

    Infinite where both are 0, -infinite where one is: such a rule is not used.
    """
    import numpy as np

    fpr = np.arange(negatives + 1)[:, None] / negatives
    fnr = np.arange(positives + 1)[None, :] / positives
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.log(1 - DELTA - fpr) - np.log(fnr)
        second = np.log(1 - DELTA - fnr) - np.log(fpr)
    found: Matrix = np.fmax(np.fmax(first, second), 0.0)
    found[0, :], found[:, 0] = -np.inf, -np.inf
    found[0, 0] = np.inf
    return found


def epsilon(unlearned: Vector, retrained: Vector) -> float:
    """How well the best single cut or interval tells two samples of one confidence apart.

    0 to ``CAP``, which also stands for a range that is under a hundredth of the other, and for
    samples of which no rule of the grid is usable: the published code ends there.
    """
    import numpy as np

    swap = np.median(retrained) > np.median(unlearned)
    positive, negative = (retrained, unlearned) if swap else (unlearned, retrained)
    ranges = [float(np.ptp(side)) for side in (negative, positive)]
    if not min(ranges) >= SPIKY * max(ranges) > 0:
        return CAP
    narrow, wide = (negative, positive) if ranges[0] <= ranges[1] else (positive, negative)
    best = max(_best_cut(positive, negative), _best_interval(narrow, wide))
    return CAP if best < 0 else min(best, CAP)


def _best_cut(positive: Vector, negative: Vector) -> float:
    """Of the rules that take a confidence of at least t for a positive one."""
    import numpy as np

    low, high = (float(of(np.concatenate([positive, negative]))) for of in (np.min, np.max))
    cuts = np.linspace(low, high, math.ceil(PER_UNIT * (high - low)))
    false_positives = len(negative) - np.sort(negative).searchsorted(cuts, "left")
    false_negatives = np.sort(positive).searchsorted(cuts, "left")
    return float(_epsilons(len(negative), len(positive))[false_positives, false_negatives].max())


def _best_interval(narrow: Vector, wide: Vector) -> float:
    """Of the rules that take a confidence in an interval for one of the ``narrow`` side."""
    import numpy as np

    width, top = float(np.ptp(narrow)), float(narrow.max())
    ends = np.linspace(top - BUFFER, top + BUFFER, THRESHOLDS)
    starts = np.linspace(ends - width - BUFFER, ends - width + BUFFER, THRESHOLDS)
    both = np.concatenate([narrow, wide])
    order = both.argsort()
    merged = both[order]
    after = merged.searchsorted(ends, "right")
    first = np.minimum(_below(merged, starts), after)  # an end before the start: none
    # A rule's place in the table is the difference of what stands for its two ends.
    of_narrow = np.concatenate([[0], np.cumsum(order < len(narrow))])
    place = (np.arange(len(merged) + 1) - of_narrow) * (len(narrow) + 1) - of_narrow
    rules = place[after] + len(narrow) - place[first]
    return float(_epsilons(len(wide), len(narrow)).ravel()[rules].max())


def _below(merged: Vector, starts: Matrix) -> Any:
    """How many of the sorted ``merged`` lie below each start, whose diagonals are one number but
    for rounding: each is looked up once, and start by start only where a confidence is as near."""
    import numpy as np

    diagonals = starts[0, 0] + 2 * BUFFER / (THRESHOLDS - 1) * np.arange(2 * THRESHOLDS - 1)
    low, high = (merged.searchsorted(diagonals + slack) for slack in (-ROUNDING, ROUNDING))
    found = np.lib.stride_tricks.sliding_window_view(low, THRESHOLDS).copy()
    for number in np.flatnonzero(low != high).tolist():
        row = np.arange(max(0, number - THRESHOLDS + 1), min(number + 1, THRESHOLDS))
        found[row, number - row] = merged.searchsorted(starts[row, number - row])
    return found


def points(epsilons: Vector, bins: int) -> Vector:
    """1 for an epsilon in the first bin, half as many in each further one, 0 beyond the last."""
    import numpy as np

    place = np.floor(epsilons / BIN)
    return np.where(place < bins, 0.5**place, 0.0)


def epsilons(unlearned: Matrix, retrained: Matrix) -> Vector:
    """That of each sample, of confidences [models, samples] on either side."""
    import numpy as np

    sides = zip(unlearned.T, retrained.T, strict=True)
    return np.array([epsilon(*map(np.ascontiguousarray, side)) for side in sides])


def quality(unlearned: Matrix, retrained: Matrix, bins: int) -> float:
    """F: the mean points of the samples, of confidences [models, samples] on either side."""
    return float(points(epsilons(unlearned, retrained), bins).mean())


@frozen
class ForgettingQuality:
    """Settings of ``forgetting_quality``."""

    bins: Literal["published", "by_models"] = setting(
        "published",
        doc="13 bins of epsilon, up to 6.5; or as many as the scoring code takes, up to "
        "ceil(ln(models - 1))",
    )
    resamples: int = setting(
        20, doc="random halves of the models that the interval is estimated from", ge=2
    )
    resampled_samples: int = setting(
        200, doc="at most that many samples of the forget set are scored in each half", gt=0
    )
    retain_samples: int | None = setting(
        None,
        doc="measure retain accuracy on that many samples of the retain set, drawn once; all of "
        "them when left out, as published",
        unit="samples",
        gt=0,
        later=True,
    )
    max_cost: float | None = setting(
        None,
        doc="score 0 for a method that costs more than this share of retraining; the challenge's "
        "document says about 0.2",
        gt=0,
        later=True,
    )


NAMES = ("forgetting_quality", "unlearning_score", "unlearning_score_low", "unlearning_score_high")
COST = "share_of_retraining"


def _retain(settings: ForgettingQuality) -> str:
    """The split that retain accuracy is measured on."""
    return f"retain:{settings.retain_samples}" if settings.retain_samples else "retain"


@component(
    "metrics",
    "forgetting_quality",
    settings=ForgettingQuality,
    source="NeurIPS 2023 unlearning challenge: the organisers' metric document, and "
    "google-deepmind/unlearning_evaluation at ffae0ff, metric.py",
    outputs=lambda s: (*NAMES, COST),
    docs=lambda s: {
        "forgetting_quality": "F: mean points of the forget set's samples, against retrained "
        "models. Identical distributions get about 0.18, not 1.",
        "unlearning_score": "F times the ratios of retain and of test accuracy to retrained "
        "models. Scores of different numbers of models cannot be compared.",
        "unlearning_score_low": "Lower end of the score's 95 % interval over models.",
        "unlearning_score_high": "Upper end of the score's 95 % interval over models.",
        COST: "What a model cost on average, as a share of a retrained one: samples forward + "
        "2 * samples backward.",
    },
    reads=lambda s: ("forget", _retain(s), "test"),
    better={**dict.fromkeys(NAMES, "higher"), COST: "lower"},
    range={**dict.fromkeys((*NAMES, COST), (0, None)), "forgetting_quality": (0, 1)},
    over="population",
    needs=frozenset({"oracle"}),
    requests=lambda s: (Outputs("unlearned"), Outputs("retrained", offset=INDEPENDENT)),
)
def forgetting_quality(populations: Populations, settings: ForgettingQuality) -> dict[str, float]:
    """F x (retain accuracy / that of retrained models) x (test accuracy / that of retrained ones).

    The retrained models are independent of those that the spec's methods make, so the row of
    retraining itself is what a perfect method would get. The interval is of the delete-half
    jackknife: the score's spread over random halves of the models on both sides, which estimates
    that of the whole without the repeated models that a bootstrap would have. A method over
    ``max_cost`` is rejected: its score is 0. Retraining is not.

    Leaves two series: ``epsilon``, where each bin begins, the last one open, and ``epsilon_share``,
    the share of the forget set's samples in it.
    """
    import numpy as np

    names = ("unlearned", f"retrained+{INDEPENDENT}")
    cost = populations.work() / populations.work(names[1])
    ours, exact = (_side(populations, name, _retain(settings)) for name in names)
    models = min(len(ours.retain), len(exact.retain))
    if models < LEAST:
        raise HarnessError(f"forgetting_quality needs {LEAST} models on each side; found {models}")
    bins = 13 if settings.bins == "published" else 2 * math.ceil(math.log(models - 1))
    every = epsilons(ours.confidences, exact.confidences)
    counts = np.bincount(np.minimum(every // BIN, bins).astype(int), minlength=bins + 1)
    populations.series["epsilon"] = [BIN * place for place in range(bins + 1)]
    populations.series["epsilon_share"] = [float(count / len(every)) for count in counts]
    found = float(points(every, bins).mean())
    if settings.max_cost is not None and cost > settings.max_cost and not populations.exact:
        populations.rejected = (
            f"it costs {cost:.3g} of retraining, and {settings.max_cost:g} is allowed"
        )
        return dict(zip((*NAMES, COST), (found, 0.0, 0.0, 0.0, cost), strict=True))
    score = found * _ratios(ours, exact)
    draw = np.random.default_rng(populations.generator("halves").initial_seed())
    shown = draw.permutation(ours.confidences.shape[1])[: settings.resampled_samples]
    halves = [
        _score(ours.drawn(draw, shown), exact.drawn(draw, shown), bins)
        for _ in range(settings.resamples)
    ]
    around = 1.96 * float(np.std(halves, ddof=1))
    ends = max(0.0, score - around), score + around
    return dict(zip((*NAMES, COST), (found, score, *ends, cost), strict=True))


@frozen(eq=False)
class _Side:
    """Of each model: the confidence of every sample to forget, and two accuracies."""

    confidences: Matrix
    retain: Vector
    test: Vector

    def drawn(self, draw: np.random.Generator, samples: Any) -> _Side:
        """A random half of the models, on some of the samples."""
        half = draw.permutation(len(self.retain))[: len(self.retain) // 2]
        chosen = self.confidences[half][:, samples]
        return _Side(chosen, self.retain[half], self.test[half])


def _side(populations: Populations, name: str, retain: str) -> _Side:
    import numpy as np

    targets = populations.targets("forget")
    every = (logits[None] for logits in populations.each("forget", name))
    confidences = np.concatenate([confidence(logits, targets) for logits in every])
    return _Side(confidences, *(_accuracies(populations, s, name) for s in (retain, "test")))


def _accuracies(populations: Populations, split: str, name: str) -> Vector:
    import numpy as np

    targets = populations.targets(split)
    right = (logits.argmax(1) == targets for logits in populations.each(split, name))
    return np.array([float(found.double().mean()) for found in right])


def _score(unlearned: _Side, retrained: _Side, bins: int) -> float:
    """F with both ratios of accuracies."""
    found = quality(unlearned.confidences, retrained.confidences, bins)
    return found * _ratios(unlearned, retrained)


def _ratios(unlearned: _Side, retrained: _Side) -> float:
    """That of retain and of test accuracy, which are not cut off at 1, multiplied."""
    retain = unlearned.retain.mean() / retrained.retain.mean()
    return float(retain * (unlearned.test.mean() / retrained.test.mean()))
