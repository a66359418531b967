"""Whether the components of a spec fit its data set, by what both declare: nothing is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import attrs

from harness.components import Facts, get
from harness.components.contracts import Encoding
from harness.errors import HarnessError
from harness.lazy import nn, torch
from harness.spec.blocks import Data, Spec, Use
from harness.spec.places import Document, Path, Problem
from harness.spec.structure import (
    name_key,
    structure_block,
    structure_use,
    unstructure_settings,
)
from harness.spec.sweeps import assignments, substitute

# What each kind of component declares of encodings.
_ENCODINGS = {
    "augmentations": "acts_on",
    "adversaries": "acts_on",
    "corruptions": "acts_on",
    "models": "takes",
}


def facts_of(data: Data) -> Facts:
    """What the data set of a spec declares, cut to the samples that it asks for."""
    declared = get("datasets", data.dataset.name).traits.facts(data.dataset.settings)
    return attrs.evolve(
        declared,
        encoding=_encoding(data.features, declared.encoding),
        train=_cut(declared.train, data.train_samples),
        test=_cut(declared.test, data.test_samples),
        validation=declared.validation and _cut(declared.validation, data.test_samples),
    )


def _encoding(backbone: Use | None, declared: Encoding) -> Encoding:
    """What the samples are that training sees: the vectors of a backbone where there is one."""
    if backbone is None:
        return declared
    gives = get("models", backbone.name).traits.gives
    return declared if gives is None else gives(backbone.settings, declared)


def _cut(declared: int | None, asked: int | None) -> int | None:
    if declared is None or asked is None:
        return declared or asked
    return min(declared, asked)


def check_fit(spec: Spec, document: Document) -> Iterator[Problem]:
    """Every setting of a component that cannot fit one of the spec's data sets; each place once."""
    found: dict[tuple[Path, str], Problem] = {}
    for path, what in _other_vectors(spec):
        found[path, what] = document.problem(path, what)
    for data in _all_data(spec):
        wrong = [*_too_many(data), *_two_validations(data)]
        places: list[tuple[Path, str]] = [(("data", name), what) for name, what in wrong]
        facts, uses = _training_facts(data), list(_uses(spec))
        networks = [use for path, use in uses if path == ("model",)]
        facts = attrs.evolve(facts, models=partial(_built, networks, facts))
        places += [(("train", "memory_format"), what) for what in _no_layout(spec, facts)]
        if data.features is not None:
            raw = facts_of(attrs.evolve(data, features=None))
            places += [(("data", "features", n), what) for n, what in _no_backbone(data, raw)]
            uses = [] if places else uses  # of what they would see nothing is known
        for path, use in uses:
            misfits = [*_misfits(use, facts), *_no_logits(use)]
            places += [((*path, name) if name else path, what) for name, what in misfits]
        for here, what in places:
            found.setdefault((here, what), document.problem(here, what))
    yield from found.values()


def unlikely(spec: Spec) -> list[str]:
    """A sentence for each setting that is allowed and hardly meant, before any data is read."""
    sizes = [_training_facts(data).train for data in _all_data(spec)]
    batch = unstructure_settings(spec.train)["batch_size"]
    sentences = list(too_large(batch, min((size for size in sizes if size), default=None)))
    takes, others = beside_budget(spec)
    if spec.unlearning is not None and others:
        sentences.append(
            f"unlearning.budget is the length of {', '.join(takes)}. It is not that of "
            f"{', '.join(others)}, which have none or say their own and stand the same at each "
            "budget."
        )
    return sentences


def beside_budget(spec: Spec) -> tuple[list[str], list[str]]:
    """The labels of the methods whose length a budget sets, and of the others."""
    takes: dict[bool, list[str]] = {True: [], False: []}
    for method in spec.methods:
        settings = method.use.settings
        changed = get("methods", method.use.name).traits.within(settings, 1.0) != settings
        takes[changed].append(method.label)
    return takes[True], takes[False]


def too_large(batch: Any, train: int | None) -> Iterator[str]:
    """Says so where ``batch``, the plain ``train.batch_size`` or its sweep, has more samples than
    there are for training."""
    largest = max(batch["sweep"]) if isinstance(batch, Mapping) else batch
    if train is not None and largest > train:
        yield (
            f"train.batch_size is {largest:,}, and there are {train:,} training samples: "
            "every step of that size sees all of them."
        )


def architecture(model: Use) -> Use:
    """``model`` without weights from elsewhere, for what only needs its shape."""
    same = get("models", model.name).traits.architecture(model.settings)
    return Use(model.kind, model.name, same)


def _built(networks: list[Use], facts: Facts) -> list[nn.Module]:
    built = []
    for use in networks:
        # What is wrong with a model that cannot be built, its own check says.
        with torch.device("meta"), suppress(HarnessError, RuntimeError):
            build = get("models", use.name).function
            built.append(build(architecture(use).settings, facts.encoding, facts.classes))
    return built


def _no_backbone(data: Data, raw: Facts) -> Iterator[tuple[str, str]]:
    """Why the spec's backbone is none, or cannot look at the data."""
    use = data.features
    if use is not None:
        if get("models", use.name).traits.gives is None:
            yield "name", f"{use.name!r} is no backbone: it gives logits, not vectors"
        if raw.validation != 0:
            yield "name", "there are no vectors of the data set's own validation split"
        yield from _misfits(use, raw)


def _no_logits(use: Use) -> Iterator[tuple[str, str]]:
    """Why a spec's model is none that can be trained."""
    if use.kind == "models" and get("models", use.name).traits.gives is not None:
        yield "name", f"{use.name!r} is a backbone: it gives vectors, not logits; see data.features"


def _all_data(spec: Spec) -> Iterator[Data]:
    """The data block at each point of its sweeps."""
    for plain in _points(unstructure_settings(spec.data)):
        yield structure_block(Data, plain)


def _too_many(data: Data) -> Iterator[tuple[str, str]]:
    """The settings that ask for more samples than the data set has, and what is wrong."""
    declared = get("datasets", data.dataset.name).traits.facts(data.dataset.settings)
    asked = {
        "train_samples": (data.train_samples, declared.train),
        "test_samples": (data.test_samples, declared.test),
    }
    for name, (wanted, there) in asked.items():
        if wanted is not None and there is not None and wanted > there:
            yield name, f"found {wanted:,}; {data.dataset.name} has {there:,}"
    train = facts_of(data).train
    if train is not None and data.validation and not round(train * data.validation):
        yield "validation", f"found {data.validation}; that is no sample of {train:,}"


def _two_validations(data: Data) -> Iterator[tuple[str, str]]:
    if data.validation and facts_of(data).validation != 0:
        own = f"{data.dataset.name} has a validation split of its own"
        yield "validation", f"found {data.validation:g}; {own}, so none is held out"


def has_validation(spec: Spec) -> bool:
    """Whether there are validation samples: held out, or of the data set's own."""
    return all(data.validation or facts_of(data).validation != 0 for data in _all_data(spec))


def _training_facts(data: Data) -> Facts:
    """The facts of ``data`` with the training samples that are not held out for validation."""
    facts = facts_of(data)
    if facts.train is None:
        return facts
    return attrs.evolve(facts, train=facts.train - round(facts.train * data.validation))


def _no_layout(spec: Spec, facts: Facts) -> Iterator[str]:
    """Why there is nothing to lay out as ``train.memory_format`` says."""
    asked = unstructure_settings(spec.train)["memory_format"]
    every = asked["sweep"] if isinstance(asked, Mapping) else [asked]
    if "channels_last" in every and facts.encoding.name != "images":
        yield f"channels_last is a layout of images; the data set has {facts.encoding.name}"


def _points(plain: Any) -> Iterator[Any]:
    return (substitute(plain, point) for point in assignments(plain))


def _uses(spec: Spec) -> Iterator[tuple[Path, Use]]:
    """Every component of ``spec`` with its path, once for each point of its own sweeps."""
    named: list[tuple[Path, Use]] = [(("data", "dataset"), spec.data.dataset)]
    named += [(("data", "augment", i), a) for i, a in enumerate(spec.data.augment)]
    named += [(("data", "defences", i), a) for i, a in enumerate(spec.data.defences)]
    named += [(("train", "adversary"), a) for a in [spec.train.adversary] if a is not None]
    named += [(("corruption",), spec.corruption), (("model",), spec.model)]
    named += [(("forget",), spec.forget)]
    named += [(("methods", i), m.use) for i, m in enumerate(spec.methods)]
    named += [(("metrics", i), use) for i, use in enumerate(spec.metrics)]
    for path, use in named:
        key = name_key(use.kind)
        for plain in _points({key: use.name, **unstructure_settings(use.settings)}):
            yield path, structure_use(use.kind, plain)


def _other_vectors(spec: Spec) -> Iterator[tuple[Path, str]]:
    """A corruption of tokens' vectors that have another size in every model of the spec."""
    sizes: dict[str, set[Any]] = {"models": set(), "corruptions": set()}
    for _, use in _uses(spec):
        name = getattr(get(use.kind, use.name).traits, "vectors", None)
        if name is not None:
            sizes[use.kind].add(getattr(use.settings, name))
    known = ", ".join(map(str, sorted(sizes["models"])))
    for size in sizes["corruptions"] - sizes["models"] - {None} if known else ():
        place = get("corruptions", spec.corruption.name).traits.vectors
        yield (
            ("corruption", str(place)),
            f"found {size}; the model's tokens have vectors of {known}",
        )


def _misfits(use: Use, facts: Facts) -> Iterator[tuple[str, str]]:
    traits = get(use.kind, use.name).traits
    encoding = facts.encoding.name
    accepted = getattr(traits, _ENCODINGS.get(use.kind, ""), None)
    if accepted is not None and encoding not in accepted:
        takes = " or ".join(sorted(accepted))
        yield name_key(use.kind), f"{use.name!r} takes {takes}; the data set has {encoding}"
        return
    try:
        for misfit in traits.check(use.settings, facts):
            yield misfit.setting, misfit.what
    except HarnessError as problem:
        yield "", str(problem)
