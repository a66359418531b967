"""The typed contract of each kind of component: what it declares beside its settings.

A component names these traits as keywords of ``@component``; a misspelt or missing one is an error
when it is registered. Callables take the component's resolved settings first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf
from types import MappingProxyType
from typing import Any, Literal, Protocol

from attrs import field, frozen
from attrs.validators import deep_iterable, in_, instance_of, is_callable, optional

from harness.components.facts import Facts, Misfit, Weights

EVERY_ENCODING = frozenset({"images", "tokens", "features"})


class Encoding(Protocol):
    """What one sample of a data set is, and how samples reach a model; ``harness.data.encodings``.

    ``shape`` is that of one stored sample. ``batch`` turns stored samples [B, ...] into what a
    model takes, on their device; ``example`` is such a batch of zeros on torch's default device,
    and ``stored`` are zeros as splits hold them.
    """

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    def batch(self, stored: Any) -> Any: ...
    def stored(self, count: int) -> Any: ...
    def example(self, count: int = 1) -> Any: ...


class Request:
    """What a component asks other stages for; ``harness.spec.requests`` has the kinds of it."""

    __slots__ = ()


def no_misfits(settings: Any, facts: Facts) -> Iterable[Misfit]:
    """The check of a component that fits any data."""
    return ()


def no_requests(settings: Any) -> tuple[Request, ...]:
    """The requests of a component that needs nothing."""
    return ()


def _names(*allowed: str, default: Iterable[str]) -> Any:
    checks = deep_iterable(in_(allowed), instance_of(frozenset))
    return field(default=frozenset(default), validator=checks, kw_only=True)


def _call(default: Any = None) -> Any:
    return field(default=default, validator=optional(is_callable()), kw_only=True)


def _sees() -> Any:
    default = ("retain", "forget", "original weights")
    return _names(*default, "validation", "clean labels", default=default)


_ENCODINGS = tuple(sorted(EVERY_ENCODING))


@frozen
class Traits:
    """``check(settings, facts)`` yields a ``Misfit`` for each setting that cannot fit the data
    set's declared facts, before anything runs; ``train`` counts what is not held out."""

    check: Callable[[Any, Facts], Iterable[Misfit]] = _call(no_misfits)


@frozen
class DatasetTraits(Traits):
    """``facts(settings)``: encoding, classes and sizes, without reading any data."""

    facts: Callable[[Any], Facts] = field(validator=is_callable(), kw_only=True)


OVER = ("batch", "labelled batch", "training set")


@frozen
class AugmentationTraits(Traits):
    """``acts_on``: the encodings it changes. ``over``: which of ``OVER`` it is given at a time.
    ``moves``: it moves pixels and does nothing else, so that maps of an image move with it."""

    acts_on: frozenset[str] = _names(*_ENCODINGS, default={"images"})
    over: str = field(default="batch", validator=in_(OVER), kw_only=True)
    moves: bool = field(default=False, validator=instance_of(bool), kw_only=True)


@frozen
class AdversaryTraits(Traits):
    """``work(settings)``: how often it passes each sample forward and backward, beside the step."""

    acts_on: frozenset[str] = _names(*_ENCODINGS, default={"images"})
    work: Callable[[Any], tuple[int, int]] = field(validator=is_callable(), kw_only=True)


@frozen
class CorruptionTraits(Traits):
    """``acts_on``: encodings. ``clean``: it leaves the data as they are.

    ``trigger(settings, dataset)`` gives the function that puts the trigger on a batch of inputs,
    ``when(settings)`` whether that, or the rule, acts ``before`` augmentation or ``after``
    encoding, and ``target_class(settings)`` the class that a triggered input is to get.
    ``rule(settings, dataset, tensors)`` gives the function (inputs [b, *shape], rows [b]) that
    changes corrupted training inputs whenever a batch is drawn, images as float32 intensities in
    [0, 255]; ``after`` the encoding it is the one of ``Change.encoded``. ``tensors`` are what the
    corruption itself has left, and its ``rows``, on the device of the batch.
    ``vectors`` names the setting that says of what size a token's vector must be.
    ``amount(settings, total)`` estimates the corrupted samples of ``total``, which
    ``amount_settings`` say and which change no sample's look, and
    ``work(settings, sizes)`` the samples that making them passes forward and backward.
    ``leaves`` names tensors that it always leaves for metrics.
    """

    acts_on: frozenset[str] = _names(*_ENCODINGS, default={"images"})
    clean: bool = field(default=False, validator=instance_of(bool), kw_only=True)
    trigger: Callable[[Any, Any], Callable[[Any], Any]] | None = _call()
    when: Callable[[Any], Literal["before", "after"]] | None = _call()
    target_class: Callable[[Any], int] | None = _call()
    rule: Callable[[Any, Any, Mapping[str, Any]], Callable[[Any, Any], Any]] | None = _call()
    vectors: str | None = field(default=None, validator=optional(instance_of(str)), kw_only=True)
    amount: Callable[[Any, int], int] = _call(lambda settings, total: 0)
    amount_settings: tuple[str, ...] = field(
        default=("share", "count"), validator=instance_of(tuple), kw_only=True
    )
    requests: Callable[[Any], tuple[Request, ...]] = _call(no_requests)
    work: Callable[[Any, Any], tuple[float, float]] = _call(lambda settings, sizes: (0, 0))
    leaves: frozenset[str] = field(
        default=frozenset(), validator=instance_of(frozenset), kw_only=True
    )


@frozen
class ForgetSetTraits(Traits):
    """``of_corrupted``: it is drawn from corrupted samples, so that a spec needs a corruption.
    ``of_groups``: it is given the group of each training sample in place of its label, -1 for what
    a corruption added.

    ``size(settings, train, corrupted, classes)`` estimates its samples.
    """

    of_corrupted: bool = field(default=False, validator=instance_of(bool), kw_only=True)
    of_groups: bool = field(default=False, validator=instance_of(bool), kw_only=True)
    size: Callable[[Any, int, int, int], int] = _call(
        lambda settings, train, corrupted, classes: round(train / classes)
    )


@frozen
class ModelTraits(Traits):
    """``takes``: the encodings of its inputs.

    ``architecture(settings)`` gives the settings of the same network without weights from
    elsewhere, for what only needs its shape. ``gives(settings, encoding)`` is the encoding of the
    vectors that it gives as a frozen backbone, built for 0 classes; None: it is none. It has its
    weights from elsewhere, which ``weights(settings)`` names. ``vectors`` names the setting that
    says the size of a token's vector.

    A module with a method ``see_inputs(pool, draws, watch)`` is shown its training inputs before
    its first training; it must ignore all further calls. One with ``joint_loss(batch, loss)`` is
    trained by that: it learns the ``tasks`` that it names beside the class, whose targets are the
    batch's ``maps``; ``loss`` is that of (logits, batch).
    """

    takes: frozenset[str] = _names(*_ENCODINGS, default={"images"})
    architecture: Callable[[Any], Any] = _call(lambda settings: settings)
    gives: Callable[[Any, Encoding], Encoding] | None = _call()
    weights: Callable[[Any], Weights | None] = _call(lambda settings: None)
    vectors: str | None = field(default=None, validator=optional(instance_of(str)), kw_only=True)


@frozen
class PreparationTraits(Traits):
    """``sees``: what it may look at. ``requests``: what it needs.

    ``work(settings, count)`` estimates samples forward and backward on a subset of ``count``.
    """

    sees: frozenset[str] = _sees()
    requests: Callable[[Any], tuple[Request, ...]] = _call(no_requests)
    work: Callable[[Any, int], tuple[float, float]] = _call(lambda settings, count: (count, count))


@frozen
class MethodTraits(Traits):
    """``sees``: what it may look at. ``starts`` from the base model, or from scratch.

    ``exact``: it trains again without the forget set, so that distances are measured to it.
    ``same_as(settings)`` gives the simplest settings with the same result, and ``within(settings,
    share)`` those with which it trains on that share of the base training's samples: the same ones
    where they say its length, or it has none. ``requests`` are what it needs, ``work(settings,
    sizes)`` the samples that it passes forward and backward. ``together``: it trains by the
    recipe's own loss, so that stages of several seeds can be trained together.
    """

    sees: frozenset[str] = _sees()
    starts: Literal["base", "scratch"] = field(
        default="base", validator=in_(("base", "scratch")), kw_only=True
    )
    exact: bool = field(default=False, validator=instance_of(bool), kw_only=True)
    together: bool = field(default=False, validator=instance_of(bool), kw_only=True)
    same_as: Callable[[Any], Any] = _call(lambda settings: settings)
    within: Callable[[Any, float], Any] = _call(lambda settings, share: settings)
    requests: Callable[[Any], tuple[Request, ...]] = _call(no_requests)
    work: Callable[[Any, Any], tuple[float, float]] = _call(lambda settings, sizes: (0, 0))


Words = str | Mapping[str, str]
Range = tuple[float | None, float | None]


def ends(span: Range) -> tuple[float, float]:
    """The two ends of a range, infinite where there is none."""
    low, high = span
    return -inf if low is None else low, inf if high is None else high


def _needs(value: Any) -> Callable[[Any], frozenset[str]]:
    """A set stands for the function that gives it whatever the settings are."""
    return value if callable(value) else lambda settings: frozenset(value)


@frozen
class MetricTraits(Traits):
    """``outputs(settings)``: the names it measures, ``docs`` what each means.

    ``reads(settings)``: the splits that models are run on; None when it may be any. ``needs``: what
    a spec must have: ``corruption`` (with a trigger), ``left:NAME`` (a corruption that leaves the
    tensor NAME), ``validation``, ``reference``, ``oracle`` (a row of an exact method). ``better``:
    ``higher``, ``lower`` or ``none``, ``unit``, ``range``: the smallest and largest value that can
    be, None where there is none: each for all names or by name.
    ``drop_of``: for a name that is the base model's number minus the unlearned one's, the name of
    that number.
    ``over``: it measures one ``model`` (``Evidence``), or a ``population``: all models of one
    method that differ in their unlearning seed, by their outputs (``Populations``).
    """

    outputs: Callable[[Any], tuple[str, ...]] = field(validator=is_callable(), kw_only=True)
    docs: Callable[[Any], Mapping[str, str]] = _call(lambda settings: {})
    reads: Callable[[Any], tuple[str, ...]] | None = _call()
    needs: Callable[[Any], frozenset[str]] = field(
        default=lambda settings: frozenset(), converter=_needs, kw_only=True
    )
    better: Words = field(default="none", validator=instance_of((str, Mapping)), kw_only=True)
    unit: Words = field(default="", validator=instance_of((str, Mapping)), kw_only=True)
    drop_of: Mapping[str, str] = field(
        default=MappingProxyType({}),
        validator=instance_of((dict, MappingProxyType)),
        kw_only=True,
    )
    range: Range | Mapping[str, Range] = field(
        default=(None, None), validator=instance_of((tuple, Mapping)), kw_only=True
    )
    over: Literal["model", "population"] = field(
        default="model", validator=in_(("model", "population")), kw_only=True
    )
    requests: Callable[[Any], tuple[Request, ...]] = _call(no_requests)

    def better_of(self, name: str) -> str:
        """Which direction of the measured ``name`` is better."""
        return self.better.get(name, "none") if isinstance(self.better, Mapping) else self.better

    def unit_of(self, name: str) -> str:
        """The unit of the measured ``name``."""
        return self.unit.get(name, "") if isinstance(self.unit, Mapping) else self.unit

    def range_of(self, name: str) -> Range:
        """The smallest and largest value that the measured ``name`` can have."""
        if isinstance(self.range, Mapping):
            return self.range.get(name, (None, None))
        return self.range


TRAITS: Mapping[str, type[Traits]] = MappingProxyType(
    {
        "datasets": DatasetTraits,
        "augmentations": AugmentationTraits,
        "corruptions": CorruptionTraits,
        "forget_sets": ForgetSetTraits,
        "models": ModelTraits,
        "optimizers": Traits,
        "schedules": Traits,
        "adversaries": AdversaryTraits,
        "preparations": PreparationTraits,
        "methods": MethodTraits,
        "metrics": MetricTraits,
    }
)
