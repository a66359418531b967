"""Settings that cannot fit the data are refused with file and line before anything is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import TINY
from harness.components import Facts, catalogue, component, load
from harness.components.contracts import EVERY_ENCODING
from harness.data.encodings import Features, Tokens
from harness.spec import conformance, schema
from harness.spec.load import load_spec
from harness.spec.places import SpecError

CORRUPTION = "corruption: {name: badnet, patch: 2, place: top_left, share: 0.1}"
MODEL = "model: {name: small_cnn, widths: [8, 16]}"
DATA = "data: {dataset: digits, train_samples: 300, test_samples: 100, validation: 0.1}"
FORGET = "forget: {set: corrupted, discovered: {sweep: [1.0, 0.5]}}"
LINES = {line.split(":")[0]: number for number, line in enumerate(TINY.splitlines(), 1)}


@pytest.fixture
def other_encodings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Data sets of tokens and of vectors, for one test."""
    load("datasets")
    monkeypatch.setitem(catalogue._catalogue, "datasets", dict(catalogue._catalogue["datasets"]))
    for name, facts in {
        "words": Facts(Tokens(16, 50), 2, 100, 50),
        "vectors": Facts(Features(12), 3, 100, 50),
    }.items():
        component("datasets", name, source="a test", facts=lambda s, f=facts: f)(lambda s, root: 0)
    remembering = (catalogue.load, schema.schema, conformance._validator)
    for remembers in remembering:
        remembers.cache_clear()
    yield
    for remembers in remembering:
        remembers.cache_clear()


def refused(tmp_path: Path, *changes: tuple[str, str]) -> list[str]:
    """The problems of the tiny spec with some of its lines written anew."""
    text = TINY
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    file = tmp_path / "spec.yaml"
    file.write_text(text)
    try:
        load_spec(file)
    except SpecError as error:
        return [str(problem).removeprefix(f"{file}:") for problem in error.problems]
    return []


def badnet(**settings: object) -> tuple[str, str]:
    inside = ", ".join(f"{name}: {value}" for name, value in settings.items())
    return CORRUPTION, f"corruption: {{name: badnet, {inside}}}"


def augment(written: str) -> tuple[str, str]:
    return DATA, DATA.replace("validation", f"augment: [{written}], validation")


def model(written: str) -> tuple[str, str]:
    return MODEL, f"model: {written}"


@pytest.mark.parametrize(
    ("change", "block", "words"),
    [
        (badnet(patch=9, count=5), "corruption", "corruption.patch: a patch of 9 pixels does not fit images of 8x8"),
        (badnet(patch=2, count=271), "corruption", "corruption.count: found 271; there are 270 samples"),
        (badnet(patch=2, share=0.001), "corruption", "corruption.share: found 0.001; that is no sample of 270"),
        (badnet(patch=2, count=5, target_class=10), "corruption", "corruption.target_class: class 10 does not exist; there are 10"),
        (badnet(patch=2, count=5, classes="[3, 11]"), "corruption", "corruption.classes: class 11 does not exist; there are 10"),
        (badnet(patch=2, count=5, classes="[0]", include_target="false"), "corruption", "corruption.classes: only the target class is drawn from"),
        ((CORRUPTION, "corruption: {name: class_swap, classes: [3, 3], count: 4}"), "corruption", "corruption.classes: two different classes are needed; found 3 twice"),
        ((CORRUPTION, "corruption: {name: class_swap, classes: [3, 12], count: 4}"), "corruption", "corruption.classes: class 12 does not exist; there are 10"),
        ((CORRUPTION, "corruption: {name: class_swap, classes: [3, 5], count: 5}"), "corruption", "corruption.count: half of it is swapped each way; found 5, which is odd"),
        (augment("{name: random_crop, padding: 8, mode: reflect}"), "data", "data.augment[0].padding: 8 pixels cannot be reflected in images of 8x8"),
        (augment("{name: cutout, size: 9}"), "data", "data.augment[0].size: a hole of 9 pixels does not fit images of 8x8"),
        (model("lenet5"), "model", "model: lenet5 takes images of 28x28 or 32x32 pixels; found 8x8"),
        (model("resnet9"), "model", "model: resnet9 takes images of at least 12 pixels; found 8x8"),
        (model("{name: wide_resnet, depth: 11}"), "model", "model.depth: depth must be 6n + 4; found 11"),
        (model("{name: torchvision, arch: vgg11}"), "model", "model.arch: torchvision's vgg11 takes images of 3 channels; found 1"),
        (model("{name: torchvision, arch: vgg11, cifar_stem: true}"), "model", "model.cifar_stem: vgg11 has no ResNet stem"),
        (model("{name: resnet18, cifar_stem: false}"), "model", "model.cifar_stem: torchvision's resnet18 takes images of 3 channels; found 1"),
        ((FORGET, "forget: {set: class, label: 10}"), "forget", "forget.label: class 10 does not exist; there are 10"),
        ((DATA, DATA.replace("300", "1438")), "data", "data.train_samples: found 1,438; digits has 1,437"),
        ((DATA, DATA.replace("100", "361")), "data", "data.test_samples: found 361; digits has 360"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_fit_is_refused_at_its_line(
    change: tuple[str, str], block: str, words: str, tmp_path: Path
) -> None:
    here = f"{LINES[block]}:"
    [problem] = [text for text in refused(tmp_path, change) if text.startswith(here)]
    assert words in problem


@pytest.mark.parametrize(
    "change",
    [
        badnet(patch=8, count=270),
        augment("{name: random_crop, padding: 7, mode: reflect}"),
        augment("{name: random_crop, padding: 30}"),
        augment("{name: cutout, size: 8}"),
        model("mlp"),
        model("resnet18"),
        model("{name: torchvision, arch: resnext50_32x4d, cifar_stem: true}"),
        (FORGET, "forget: {set: class, label: 9}"),
    ],
)
def test_what_just_fits_is_accepted(change: tuple[str, str], tmp_path: Path) -> None:
    assert refused(tmp_path, change) == []


def test_every_point_of_a_sweep_is_asked_and_each_problem_told_once(tmp_path: Path) -> None:
    swept = CORRUPTION.replace("patch: 2", "patch: {sweep: [2, 9, 10]}")
    halves = DATA.replace("0.1", "{sweep: [0.1, 0.2]}")
    found = refused(tmp_path, (CORRUPTION, swept), (DATA, halves))
    assert len(found) == 2
    assert all(text.startswith(f"{LINES['corruption']}:") for text in found)


def test_components_for_images_are_refused_on_tokens(tmp_path: Path, other_encodings: None) -> None:
    data = "data: {dataset: %s, augment: [horizontal_flip], validation: 0.1}"
    found = refused(tmp_path, (DATA, data % "words"))
    assert [text.split(": ", 1)[1] for text in found] == [
        "data.augment[0].name: 'horizontal_flip' takes images; the data set has tokens",
        "corruption.name: 'badnet' takes images; the data set has tokens",
        "model.name: 'small_cnn' takes images; the data set has tokens",
    ]
    lines = [int(text.split(":")[0]) for text in found]
    assert lines == [LINES["data"], LINES["corruption"], LINES["model"]]


def test_components_for_any_encoding_are_taken_on_vectors(
    tmp_path: Path, other_encodings: None
) -> None:
    labels = "corruption: {name: label_noise, share: 0.1}"
    changes = [(DATA, "data: {dataset: vectors, validation: 0.1}"), model("mlp")]
    changes += [(CORRUPTION, labels), ("attack_success_rate, unlearned_gain, ", "")]
    changes += [('"mean(unlearned_gain, -accuracy_drop)"', "-accuracy_drop")]
    assert refused(tmp_path, *changes) == []


def test_every_component_says_which_encodings_it_takes() -> None:
    for kind, trait in (("augmentations", "acts_on"), ("corruptions", "acts_on"), ("models", "takes")):  # fmt: skip
        for found in load(kind).values():
            accepted = getattr(found.traits, trait)
            assert accepted
            assert accepted <= EVERY_ENCODING
