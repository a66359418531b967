"""What a spec says: one frozen attrs class for each block.

Every field carries its description, unit and bounds (``setting``), from which the JSON Schema,
``harness describe``, the checks and the reports are made. A scalar field may hold a ``Sweep`` in a
spec; ``harness.plan`` replaces sweeps by their values, so components only ever see scalars.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs
from attrs import frozen

from harness.components import setting
from harness.spec.claims import Claim
from harness.spec.paper import Paper
from harness.spec.seeds import SeedChoice


@frozen
class Sweep:
    """Several values for one scalar: ``{sweep: [1, 2], zip: group}``.

    Sweeps that share a ``zip`` group advance together; others multiply.
    """

    values: tuple[Any, ...]
    zip: str | None = None


# A plan of 100,000 stages looks up the same few blocks millions of times: they hash once.
@frozen(cache_hash=True)
class Use:
    """A component that a spec names, with its settings: ``{name: ssd, alpha: 10}`` or ``ssd``."""

    kind: str
    name: str
    settings: Any


def use(
    kind: str, default: Any = attrs.NOTHING, *, doc: str, many: bool = False, later: bool = False
) -> Any:
    """Declare a field that holds a ``Use`` of ``kind``, or a tuple of them with ``many``.

    ``default`` is written as in a spec: a name, a mapping, or a tuple of those. ``later`` is as in
    ``setting``.
    """
    metadata = {"doc": doc, "use": kind, "many": many, "written": default, "later": later}
    if default is attrs.NOTHING or default is None or default == ():
        return attrs.field(default=default, metadata=metadata, kw_only=True)

    def build() -> Any:
        from harness.spec.structure import structure_use

        if many:
            return tuple(structure_use(kind, item) for item in default)
        return structure_use(kind, default)

    return attrs.field(factory=build, metadata=metadata, kw_only=True)


@frozen
class Budget:
    """What a run may cost; ``harness run`` refuses to start, or stops, beyond it."""

    gpu: str | None = setting(None, doc="device that gpu_hours is meant for")
    gpu_hours: float | None = setting(None, doc="accelerator time", unit="hours", gt=0)
    cpu_hours: float | None = setting(None, doc="processor time", unit="hours", gt=0)
    gpu_memory_gb: float | None = setting(
        None, doc="device memory that it is meant for; shown, not enforced", unit="GB", gt=0
    )
    exaflop: float | None = setting(None, doc="floating-point operations", unit="1e18 FLOP", gt=0)


@frozen(cache_hash=True)
class Data:
    """The data set, how it is split, and what is done to each training batch."""

    dataset: Use = use("datasets", doc="the data set")
    features: Use | None = use(
        "models",
        None,
        doc="frozen backbone: what follows sees the vectors that it gives instead of the data",
    )
    augment: tuple[Use, ...] = use(
        "augmentations", (), doc="batch augmentations in order", many=True
    )
    defences: tuple[Use, ...] = use(
        "augmentations",
        (),
        doc="augmentations that follow those, against what was done to the data; models that a "
        "corruption asks for are trained without them",
        many=True,
        later=True,
    )
    validation: float = setting(
        0.0, doc="share of the training data held out for validation", ge=0, lt=1
    )
    train_samples: int | None = setting(
        None, doc="use only this many training samples", unit="samples", gt=0
    )
    test_samples: int | None = setting(
        None, doc="use only this many test samples", unit="samples", gt=0
    )
    digest: str | None = setting(
        None, doc="SHA-256 that the data must have", pattern=r"^[0-9a-f]{64}$"
    )

    @property
    def augmentations(self) -> tuple[Use, ...]:
        """All that training samples go through."""
        return self.augment + self.defences


@frozen(cache_hash=True)
class Train:
    """A training recipe: that of the base model, of retraining, and of methods that fine-tune.

    Exactly one of ``steps`` and ``epochs`` is given.
    """

    steps: int | None = setting(None, doc="length", unit="optimiser steps", gt=0)
    epochs: float | None = setting(None, doc="length, in whole steps", unit="epochs", gt=0)
    batch_size: int = setting(128, doc="samples of one step", unit="samples", gt=0)
    optimizer: Use = use("optimizers", "sgd", doc="the optimiser")
    schedule: Use = use("schedules", "constant", doc="the learning-rate schedule")
    precision: Literal["fp32", "bf16", "fp16"] = setting(
        "fp32", doc="arithmetic of forward and backward passes; fp16 scales its loss"
    )
    evaluate_precision: Literal["fp32", "recipe"] = setting(
        "fp32",
        doc="arithmetic of what measures a model, or chooses a checkpoint: fp32, or the recipe's",
        later=True,
    )
    memory_format: Literal["contiguous", "channels_last"] = setting(
        "contiguous",
        doc="how weights lie in the memory of a CPU; a GPU always has them channels_last",
        later=True,
    )
    adversary: Use | None = use(
        "adversaries",
        None,
        doc="makes the inputs of every step harder for the model as it is; those that a corruption "
        "asks for are trained without",
        later=True,
    )
    label_smoothing: float = setting(0.0, doc="label smoothing", ge=0, lt=1)
    class_weights: Literal["none", "balanced"] = setting(
        "none", doc="weight of a class in the loss; balanced is inverse frequency"
    )
    decay_norm_and_bias: bool = setting(
        True, doc="whether weight decay covers normalisation weights and biases"
    )
    clip_norm: float | None = setting(None, doc="bound on the gradient's L2 norm", gt=0)
    ema: float | None = setting(
        None, doc="decay of an exponential moving average of the weights, which is kept", gt=0, lt=1
    )
    checkpoint: Literal["last", "best_validation", "best_test"] = setting(
        "last", doc="which weights are kept: the last, or those of the best evaluation"
    )
    extra_step: bool = setting(
        False,
        doc="one more step than the schedule counts, as Potion's published code takes where its "
        "last one does not end a pass over the data",
    )
    evaluate_every: int | None = setting(
        None, doc="steps between evaluations; an epoch when left out", unit="steps", gt=0
    )


@frozen(cache_hash=True)
class Unlearning:
    """What every method of a spec may spend, so that methods are compared at equal cost."""

    budget: float = setting(
        doc="length of the methods that do not say their own: the samples that they train on, "
        "forward and backward, as a share of those of the base training",
        gt=0,
        le=1,
    )


@frozen
class Select:
    """How a method's candidates in one cell are reduced to one."""

    maximize: str | None = setting(None, doc="expression over metrics, as mean(a, -b)")
    minimize: str | None = setting(None, doc="expression over metrics")
    at: Mapping[str, Any] | None = setting(
        None, doc="the candidate with these values of swept settings, fixed in advance"
    )


@frozen
class MethodUse:
    """One method of a spec: the component, and what the spec does with its candidates."""

    use: Use
    label: str
    select: Select | None = None
    keep: bool = False
    max_cost: float | None = None


Names = str | tuple[str, ...]
Shape = Literal[
    "curves",
    "sweep",
    "trajectory",
    "methods",
    "scatter",
    "histogram",
    "table",
    "heatmap",
    "landscape",
]


@frozen
class Figure:
    """A figure in the paper's own shape, with its numbers: ``curves`` over an axis of the cells, a
    ``sweep`` over a setting of one method, the ``trajectory`` that one method records, a mark
    for each of ``methods``, a ``scatter`` of two metrics, a ``histogram``, a ``table`` with
    claims and seconds, a ``heatmap`` of the series ``y:...`` that a metric leaves, or the
    ``landscape`` of such losses with the paths of two trainings."""

    title: str = setting(doc="caption")
    show: Shape = setting(doc="shape of the figure")
    x: str = setting("", doc="an axis, a setting, a series or a metric; not of methods or a table")
    y: Names = setting(doc="one or more metrics; trajectory, histogram, heatmap, landscape: series")
    panels: str | None = setting(None, doc="axis with a panel for each of its values")
    methods: tuple[str, ...] = setting((), doc="labels of methods; all when left out")
    method: str | None = setting(None, doc="sweep and trajectory: label of the method")


@frozen
class Origin:
    """Where some values of a spec come from; the longest path that covers a value counts."""

    from_: Literal["paper", "code", "secondary", "ours"] = setting(
        doc="paper, its official code, another source on it, or our own choice"
    )
    of: tuple[str, ...] = setting(
        doc="paths as in --set, each with all below it: train, methods.ssd.alpha"
    )
    where: str = setting("", doc="place in the paper or code: section, table, file and line")
    profile: str | None = setting(
        None, doc="profile whose values these are; without it the entry does not count"
    )


@frozen
class Spec:
    """A paper's protocol at one scale of data and model."""

    harness: Literal[1] = setting(doc="version of the spec language")
    id: str = setting(doc="name of the spec, unique in specs/", pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    version: str = setting(doc="version of the protocol", pattern=r"^\d+\.\d+\.\d+$")
    note: str = setting("", doc="what a reader should know first")
    paper: Paper | None = setting(None, doc="the paper; without one the spec is our own")
    budget: Budget = setting(Budget(), doc="what a run may cost")
    seeds: SeedChoice = setting(
        (0,),
        doc="one repetition of every cell for each; or lists for data, model and unlearn, which "
        "then differ apart from each other",
        ge=0,
    )
    deterministic: Literal["bitwise", "statistical"] = setting(
        "bitwise", doc="identical bytes on one type of machine, or fast kernels"
    )
    data: Data = setting(doc="data, splits and augmentation")
    corruption: Use = use("corruptions", "none", doc="what is done to the training data")
    model: Use = use("models", doc="the architecture")
    train: Train = setting(doc="how the base model is trained")
    forget: Use = use("forget_sets", doc="what has to be forgotten")
    unlearning: Unlearning | None = setting(None, doc="what methods have in common")
    variants: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = setting(
        None,
        doc="axes of cells by name, each with its values by name: overrides, path to value, of "
        "data, corruption, model, train, forget or unlearning, or fewer seeds",
    )
    methods: tuple[MethodUse, ...] = setting(doc="unlearning methods to compare")
    metrics: tuple[Use, ...] = use("metrics", doc="what is measured", many=True)
    weights: Mapping[str, Mapping[str, float]] = setting(
        attrs.Factory(dict),
        doc="by axis: what each of its values counts in means over cells; else all count the same",
        gt=0,
    )
    claims: tuple[Claim, ...] = setting((), doc="what the paper states")
    figures: tuple[Figure, ...] = setting((), doc="what the report shows beside its tables")
    provenance: tuple[Origin, ...] = setting(
        (), doc="where every value comes from; with a first entry, all values need one"
    )
    profiles: Mapping[str, Mapping[str, Any]] = setting(
        attrs.Factory(dict), doc="named overrides, path to value"
    )
