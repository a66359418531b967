"""Profiles ``official``: what they set, with others in either order."""

from __future__ import annotations

import pytest
import torch

from conftest import ROOT, Cli
from harness.components import get
from harness.data.datasets import images
from harness.data.datasets.images import Scaled
from harness.data.types import DataRoot, Split
from harness.plan.cells import cells_of
from harness.spec.blocks import Spec
from harness.spec.load import load_spec
from harness.spec.places import SpecError
from harness.stages.world import _check_order

POTION = ROOT / "specs" / "potion"
DATA = ROOT.parent / "shared" / "data"
SEARCHES = ("ptn-assd", "ptn-lf", "ptn-xlf")


def spec_of(name: str, profile: str | None) -> Spec:
    return load_spec(POTION / f"{name}.yaml", profile)


def setting(spec: Spec, label: str, name: str) -> object:
    [method] = [m for m in spec.methods if m.label == label]
    return getattr(method.use.settings, name)


@pytest.mark.parametrize("profile", ["random-swap,official", "official,random-swap"])
def test_a_random_swap_keeps_the_published_draw_in_either_order(profile: str) -> None:
    spec = spec_of("confusion", profile)
    assert (spec.corruption.name, spec.corruption.settings.numpy_seed) == ("label_permutation", 0)
    assert spec.forget.settings.numpy_seed == 0
    assert spec.corruption.settings.count.values == (5000,)


def test_a_random_swap_alone_follows_the_seed() -> None:
    spec = spec_of("confusion", "random-swap")
    assert (spec.corruption.name, spec.corruption.settings.numpy_seed) == (
        "label_permutation",
        None,
    )


@pytest.mark.parametrize("profile", ["official", "cpu,official"])
def test_confused_classes_are_listed_and_discovered_as_published(profile: str) -> None:
    spec = spec_of("confusion", profile)
    assert (spec.corruption.settings.first, spec.corruption.settings.numpy_seed) == (True, 0)
    assert (spec.forget.settings.numpy_seed, spec.forget.settings.after_corruption) == (0, ())


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "confusion"])
def test_official_takes_what_the_published_code_does_and_the_default_does_not(name: str) -> None:
    found = {}
    for profile in (None, "official"):
        spec = spec_of(name, profile)
        found[profile] = {
            "single": spec.forget.settings.after_corruption,
            "extra step": spec.train.extra_step,
            "checkpoint": spec.train.checkpoint,
            "ties": {setting(spec, label, "compare") for label in SEARCHES},
            "shuffled": {setting(spec, label, "shuffle") for label in (*SEARCHES, "ssd", "xlf")},
            "evaluated": setting(spec, "scrub", "evaluate_after"),
            "decay": setting(spec, "scrub-original", "decay_after"),
        }
    assert found[None] == {
        "single": (), "extra step": False, "checkpoint": "last", "ties": {"counts"},
        "shuffled": {False}, "evaluated": "epoch", "decay": (),
    }  # fmt: skip
    assert found["official"] == {
        "single": () if name == "confusion" else (0.0,), "extra step": True,
        "checkpoint": "best_test", "ties": {"float32"}, "shuffled": {True}, "evaluated": "pass",
        "decay": (3, 5, 9),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "confusion"])
def test_official_measures_in_the_precision_of_the_published_code(name: str) -> None:
    train = spec_of(name, "official").train
    assert (train.precision, train.evaluate_precision) == ("fp16", "recipe")
    assert spec_of(name, None).train.evaluate_precision == "fp32"


def test_what_official_does_not_repeat_is_named() -> None:
    note = spec_of("cifar10", None).note
    for what in ("our seeds", "grid script", "another order"):
        assert what in note


def test_a_stream_that_goes_on_from_none_is_refused() -> None:
    with pytest.raises(SpecError, match=r"forget\.after_corruption: .* numpy_seed, which is none"):
        load_spec(POTION / "cifar10.yaml", None, ["forget.after_corruption=[0]"])


def loaded(monkeypatch: pytest.MonkeyPatch, begins: tuple[int, ...]) -> None:
    """CIFAR-10 with few samples, whose labels begin as given."""
    labels = torch.tensor([*begins, *(n % 10 for n in range(600))])
    draws = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (len(labels), 3, 32, 32), generator=draws).to(torch.uint8)
    split = Split(pixels, labels)
    monkeypatch.setattr(images, "find", lambda *_: (split, split, "the folder here", True))


def test_published_draws_from_rows_in_another_order_are_refused(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(monkeypatch, (0, 6, 0, 2, 7, 2, 1, 2, 4, 1))
    small = (
        "--set",
        "corruption.count={sweep: [100]}",
        "--set",
        "forget.discovered={sweep: [1.0]}",
        "--jobs",
        1,
    )
    only = ("--only", "method=none", "--offline")
    done = cli("run", POTION / "cifar10.yaml", "--profile", "official", *small, *only)
    assert done.returncode == 1
    for part in (
        "corruption.numpy_seed and forget.numpy_seed",
        "rows of cifar10 in the folder here are in another order",
        "--set forget.numpy_seed=null",
    ):
        assert part in done.stderr


@pytest.mark.parametrize("profile", [None, "smoke,official", "random-swap"])
def test_rows_in_another_order_do_for_draws_that_are_not_the_published_ones(
    profile: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(monkeypatch, (0, 6, 0, 2, 7, 2, 1, 2, 4, 1))
    found = get("datasets", "cifar10").function(Scaled(), DataRoot(None, offline=True))
    for cell in cells_of(spec_of("confusion", profile)):
        _check_order(cell, found)


@pytest.mark.parametrize(("begins", "reordered"), [(images.CIFAR10_BEGINS, False), ((0,), True)])
def test_the_order_of_cifar_10_is_known_by_its_labels(
    begins: tuple[int, ...], reordered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(monkeypatch, begins)
    found = get("datasets", "cifar10").function(Scaled(), DataRoot(None, offline=True))
    assert found.reordered is reordered


@pytest.mark.skipif(not (DATA / "cifar10").is_dir(), reason="no CIFAR-10 beside the repository")
def test_the_copy_beside_the_repository_is_in_another_order() -> None:
    from pyarrow import parquet

    [file] = (DATA / "cifar10").glob("train-*.parquet")
    labels = parquet.read_table(file, columns=["label"])["label"].to_pylist()
    assert tuple(labels[:10]) != images.CIFAR10_BEGINS


def test_official_reads_unlearnability_as_its_code_does_and_the_note_says_what_it_does_not() -> (
    None
):
    spec = load_spec(ROOT / "specs" / "true-unlearnability" / "cifar10.yaml", "official")
    [sal] = [use.settings for use in spec.metrics if use.name == "unlearnable_distance"]
    assert (sal.reading, sal.samples, sal.snapshots, sal.radius) == ("official", None, 50, 0.05)
    assert (spec.train.epochs, spec.train.schedule.name) == (50, "constant")
    generators = (spec.variants or {})["generator"]
    assert generators["TAP"]["corruption"]["targeted"] is False
    assert generators["OPS"]["corruption"]["score"] == "published"
    for what in ("smaller batch of a pass is dropped", "a pass of its own", "APBench's REM"):
        assert what in spec.note
