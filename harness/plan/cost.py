"""What a stage costs before it runs: samples, and FLOPs counted on the meta device."""

from __future__ import annotations

from functools import lru_cache

import attrs
from attrs import frozen

from harness.components import get
from harness.lazy import torch
from harness.plan.stage import Cell, Stage
from harness.spec.blocks import Use
from harness.training.threads import threads_for


def architecture(model: Use) -> Use:
    """``model`` without weights from elsewhere, for what only needs its shape."""
    if not getattr(model.settings, "pretrained", False):
        return model
    return Use(model.kind, model.name, attrs.evolve(model.settings, pretrained=False))


@lru_cache(maxsize=256)
def flops_per_sample(model: Use, shape: tuple[int, ...], classes: int) -> int:
    """Floating-point operations of one forward pass of one sample, multiply and add apart."""
    from torch.utils.flop_counter import FlopCounterMode

    settings = architecture(model).settings
    with torch.device("meta"):
        built = get("models", model.name).function(settings, shape, classes).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            built(torch.empty(1, *shape))
    return int(counter.get_total_flops())


@frozen
class Samples:
    """Samples that a stage passes forward and backward; a backward pass costs two forward ones."""

    forward: float = 0
    backward: float = 0

    @property
    def work(self) -> float:
        """Forward equivalents."""
        return self.forward + 2 * self.backward


@frozen
class Sizes:
    """Numbers of samples that estimates need."""

    train: int
    retain: int
    forget: int
    validation: int
    corrupted: int
    test: int
    base_steps: int
    batch_size: int


def sizes_of(cell: Cell) -> Sizes:
    """The sizes of a cell's sets, from what the data set's component declares."""
    facts = get("datasets", cell.data.dataset.name).traits["facts"](cell.data.dataset.settings)
    total = min(cell.data.train_samples or facts["train"], facts["train"])
    train = total - round(total * cell.data.validation)
    corruption = cell.corruption.settings
    share = getattr(corruption, "share", None)
    bad = getattr(corruption, "count", None) or round(train * (share or 0))
    forget_settings = cell.forget.settings
    if cell.forget.name == "corrupted":
        forget = max(1, round(bad * forget_settings.discovered))
    else:
        forget = round(train * getattr(forget_settings, "share", 1 / facts["classes"]))
    recipe = cell.train
    steps = recipe.steps or round((recipe.epochs or 0) * -(-train // recipe.batch_size))
    test = min(cell.data.test_samples or facts["test"], facts["test"])
    steps += recipe.extra_step
    held = total - train
    return Sizes(train, train - forget, forget, held, bad, test, steps, recipe.batch_size)


def split_size(split: str, sizes: Sizes) -> int:
    """Samples of a split that metrics read: ``test_triggered`` are as many as ``test``."""
    name = split.partition("_")[0]
    return int(getattr(sizes, "corrupted" if name == "shuffled" else name))


def samples_of(stage: Stage) -> Samples:
    """An estimate of the samples that ``stage`` processes."""
    sizes = sizes_of(stage.cell)
    trained = min(sizes.base_steps * sizes.batch_size, 10**15)
    match stage.kind:
        case "train":
            return Samples(trained, trained)
        case "prepare":
            count = getattr(sizes, stage.subset)
            work = get("preparations", stage.uses[0].name).traits.get("work")
            return Samples(*work(stage.uses[0].settings, count)) if work else Samples(count, count)
        case "unlearn":
            work = get("methods", stage.uses[0].name).traits.get("work")
            return Samples(*work(stage.uses[0].settings, sizes)) if work else Samples()
        case "evaluate":
            return Samples(sum(split_size(split, sizes) for split in splits_read(stage)))
    return Samples()


def splits_read(stage: Stage) -> set[str]:
    """The splits that an ``evaluate`` stage runs the unlearned model on.

    What it needs of the original model is computed once for all models that come from it.
    """
    reads = ((get("metrics", use.name).traits.get("reads"), use.settings) for use in stage.uses)
    return {split for read, settings in reads if read for split in read(settings)}


def flops_of(stage: Stage) -> float:
    """An estimate of the floating-point operations of ``stage``."""
    return samples_of(stage).work * _per_sample(stage.cell)


def threads_of(cell: Cell) -> int:
    """The threads that a stage of ``cell`` is computed with on this machine."""
    return threads_for(3 * _per_sample(cell) * cell.train.batch_size)


def _per_sample(cell: Cell) -> int:
    data = cell.data.dataset
    facts = get("datasets", data.name).traits["facts"](data.settings)
    return flops_per_sample(cell.model, tuple(facts["shape"]), facts["classes"])
