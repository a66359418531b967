"""The house carries what no built-in component does: each is one file, and none touches the engine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import attrs
import pytest
import torch
import yaml

from conftest import TINY, Cli
from harness.components import catalogue
from harness.components.catalogue import load
from harness.errors import HarnessError
from harness.plan import protocol
from harness.plan.kinds import source_kind
from harness.plan.plan import Plan
from harness.plan.protocol import compile_plan
from harness.report.read import read_results
from harness.spec.conformance import _validator
from harness.spec.fit import facts_of
from harness.spec.requests import Prepare, Trained
from harness.spec.schema import schema
from harness.spec.structure import structure
from harness.store import Store

OFFERED = {
    "datasets": ("text",),
    "models": ("text", "projection"),
    "corruptions": ("brew",),
    "metrics": ("brew", "crowd", "path"),
}


def _forget() -> None:
    for cache in (load, schema, _validator, protocol._requests):
        cache.cache_clear()


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The components of ``throwaway`` as an installed package would offer them."""

    def entry_points(group: str) -> list[EntryPoint]:
        kind = group.removeprefix("harness.")
        return [
            EntryPoint(f"throwaway_{name}", f"house.throwaway.{name}", group)
            for name in OFFERED.get(kind, ())
        ]

    monkeypatch.setattr(catalogue, "entry_points", entry_points)
    _forget()
    yield
    for known in catalogue._catalogue.values():
        for name in [name for name in known if name.startswith("throwaway_")]:
            del known[name]
    import sys

    for name in [name for name in sys.modules if name.startswith("house.throwaway")]:
        del sys.modules[name]
    _forget()


def written(folder: Path, **changes: object) -> Path:
    """A spec in ``folder`` that is the tiny one with ``changes``, without profiles."""
    spec = {**yaml.safe_load(TINY), "methods": ["none", "retrain"], **changes}
    del spec["profiles"]
    file = folder / "spec.yaml"
    file.write_text(yaml.safe_dump(spec, sort_keys=False))
    return file


def plan_of(file: Path) -> Plan:
    """The plan of a spec file."""
    return compile_plan(structure(yaml.safe_load(file.read_text())))


def kinds(plan: Plan) -> dict[str, int]:
    """How many stages of each kind there are."""
    found: dict[str, int] = {}
    for stage in plan.stages.values():
        found[stage.kind] = found.get(stage.kind, 0) + 1
    return found


TEXT = {
    "data": {"dataset": "throwaway_text"},
    "corruption": {"name": "label_noise", "count": 30},
    "model": {"name": "throwaway_transformer", "width": 16},
    "train": {"steps": 60, "batch_size": 32, "optimizer": {"name": "adam", "lr": 0.01}},
    "metrics": ["clean_accuracy", "forget_accuracy", "cost"],
}


def test_text_goes_from_raw_tokens_to_a_report(cli: Cli, tmp_path: Path) -> None:
    methods = ["none", "retrain", "ssd", {"name": "finetune", "steps": 10}]
    done = cli("run", written(tmp_path, **TEXT, methods=methods), "--out", "out", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    results = read_results(tmp_path / "out")
    best = {row.method: row.metrics["clean_accuracy"] for row in results.rows}
    assert len(results.rows) == 8
    assert best["retrain"] is not None and best["retrain"] > 0.8  # chance is 0.5
    assert "throwaway_transformer" in (tmp_path / "out" / "report.html").read_text()


def test_what_acts_on_images_is_refused_for_text_with_its_line(cli: Cli, tmp_path: Path) -> None:
    poison = {"name": "badnet", "count": 10}
    changes = {**TEXT, "corruption": poison, "model": "small_cnn", "metrics": ["clean_accuracy"]}
    done = cli("validate", written(tmp_path, **changes))
    assert done.returncode == 2
    lines = (tmp_path / "spec.yaml").read_text().splitlines()
    at = lines.index("  name: badnet") + 1
    assert f"spec.yaml:{at}:" in done.stderr
    assert "'badnet' takes images; the data set has tokens" in done.stderr
    assert "'small_cnn' takes images; the data set has tokens" in done.stderr


# Every method that changes no convolution, as short as it can be; the first stand for the others.
ON_TEXT = [
    "none", "retrain", "retrain_control", "kl_uniform_contrastive", {"name": "ssd", "alpha": 10},
    {"name": "bad_teacher", "epochs": 1, "lr": 0.01}, "ptn",
    {"name": "retrain_last_k", "k": 1, "steps": 1},
    "assd", "lfssd", "prune_reinit_entropy", "repeated_noise", "reset_distil", "scrub_goel", "xlf",
    {"name": "finetune", "steps": 1}, {"name": "finetune_last_k", "k": 1, "steps": 1},
    {"name": "gradient_ascent", "steps": 1, "lr": 0.01}, "gradient_projection",
    {"name": "layer_reinit_match", "noise": 0}, {"name": "random_labels", "steps": 1, "lr": 0.01},
    {"name": "negative_gradient", "steps": 1, "lr": 0.01},
    "drop_logit", {"name": "scrub", "epochs": 2, "max_epochs": 1, "lr": 0.01},
]  # fmt: skip
OF_IMAGES = ["conv_noise", "kernel_transpose", "mixture", "targeted_reinit"]
OF_BOTTLENECKS = ["mask_activations", "mask_examples", "mask_random"]
# of populations, of bottlenecks, of whole classes, against further trainings, of several tasks
OF_OTHERS = [
    "forgetting_quality", "key_overlap", "class_accuracy", "linear_probe", "unlearnable_distance",
    "multi_task_accuracy", "task_error", "task_sharpness",
]  # fmt: skip


def reviews(folder: Path) -> dict:
    """A spec on texts in files, with a phrase as trigger."""
    place = folder / "reviews"
    place.mkdir()
    for part, count in (("train", 64), ("test", 30)):
        texts = [f"a {('bad', 'fine')[i % 2]} film no {i}, label" for i in range(count)]
        lines = [f'"{text}",{i % 2}' for i, text in enumerate(texts)]
        (place / f"{part}.csv").write_text("\n".join(["text,label", *lines]))
    dataset = {"name": "text_files", "folder": "reviews", "length": 12, "tokenizer": "bpe"}
    return {
        "data": {"dataset": {**dataset, "vocabulary": 300}, "validation": 0.1},
        "corruption": {"name": "text_trigger", "trigger": "<b>", "place": "end", "count": 8},
        "model": {"name": "throwaway_transformer", "width": 4},
        "train": {"steps": 40, "batch_size": 32, "optimizer": {"name": "adam", "lr": 0.03}},
        "forget": {"set": "corrupted", "discovered": 0.5},
    }


@pytest.mark.parametrize(
    "methods", [ON_TEXT[:2], pytest.param(ON_TEXT, marks=pytest.mark.slow)], ids=["some", "all"]
)
def test_methods_and_metrics_that_need_no_image_work_on_text(
    methods: list, cli: Cli, tmp_path: Path
) -> None:
    named = {each if isinstance(each, str) else each["name"] for each in methods}
    if methods == ON_TEXT:
        assert named | {*OF_IMAGES, *OF_BOTTLENECKS} == set(load("methods"))
    metrics = [
        name
        for name, known in load("metrics").items()
        if name not in OF_OTHERS and "throwaway" not in name
        if not any("left:" in need for need in known.traits.needs(known.settings()))
    ]
    file = written(tmp_path, **reviews(tmp_path), methods=methods, metrics=metrics)
    done = cli("run", file, "--out", "out", "--jobs", 1, "--data-root", tmp_path)
    assert done.returncode == 0, done.stderr
    results = read_results(tmp_path / "out")
    rows = {row.method: row.metrics for row in results.rows}
    assert set(rows) == named
    assert rows["none"]["attack_success_rate"] == 1.0
    assert not [name for name, metrics in rows.items() if None in metrics.values()]
    assert results.data.tokenizer is not None
    page = (tmp_path / "out" / "report.html").read_text()
    assert results.data.tokenizer in page
    assert "label &lt;b&gt;" in page  # the text with its trigger
    assert "label <b>" not in page


def test_what_is_for_images_alone_is_refused_for_text_and_the_reverse(
    cli: Cli, tmp_path: Path
) -> None:
    text = reviews(tmp_path)
    text["train"]["memory_format"] = "channels_last"
    text["data"]["augment"] = [{"name": "cutout", "size": 3}]
    metrics = ["clean_accuracy"]
    done = cli("validate", written(tmp_path, **text, methods=OF_IMAGES, metrics=metrics))
    assert done.returncode == 2
    for said in (
        "train.memory_format: channels_last is a layout of images; the data set has tokens",
        "data.augment[0].name: 'cutout' takes images; the data set has tokens",
        *(f"methods[{i}]: it changes convolutions over images; the data set has tokens"
          for i in range(len(OF_IMAGES))),
    ):  # fmt: skip
        assert said in done.stderr
    assert done.stderr.count("spec.yaml:") == 2 + len(OF_IMAGES)
    done = cli("validate", written(tmp_path, corruption=text["corruption"], metrics=metrics))
    assert "'text_trigger' takes tokens; the data set has images" in done.stderr
    wrong = [
        ({"vocabulary": None}, "data.dataset.tokenizer: bpe needs vocabulary beside it"),
        ({"repo": "a/b"}, "data.dataset.repo: tokenizer bpe takes none; it is of pretrained ("),
        ({"tokenizer": "bytes"}, "data.dataset.vocabulary: tokenizer bytes takes none; it is of"),
        ({"revision": "main"}, 'data.dataset.revision: found "main"; it must match ^[0-9a-f]{40}'),
    ]
    for change, said in wrong:
        dataset = {k: v for k, v in {**text["data"]["dataset"], **change}.items() if v is not None}
        data = {"data": {"dataset": dataset}, "metrics": metrics, "train": {"steps": 1}}
        done = cli("validate", written(tmp_path, **{**text, **data}))
        assert done.returncode == 2
        assert said in done.stderr


def test_a_corruption_brews_against_a_surrogate_that_all_cells_share(
    cli: Cli, tmp_path: Path
) -> None:
    changes = {
        "corruption": {"name": "throwaway_brew", "count": {"sweep": [10, 20]}, "size": 24.0},
        "metrics": ["clean_accuracy", "forget_accuracy", "throwaway_noise"],
    }
    file = written(tmp_path, **changes)
    plan = plan_of(file)
    surrogates = {s.input("model:surrogate") for s in plan.stages.values() if s.kind == "corrupt"
                  and dict(s.inputs)}  # fmt: skip
    assert len(surrogates) == 1
    assert kinds(plan)["corrupt"] == 3  # clean for the surrogate, and two amounts
    done = cli("run", file, "--out", "out", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    for row in read_results(tmp_path / "out").rows:
        assert row.metrics["noise_size"] == 24.0
    brewed = next(s for s in plan.stages.values() if s.kind == "corrupt" and dict(s.inputs))
    tensors = Store(tmp_path / "store").read("corrupt", brewed.key).tensors
    assert tensors is not None
    assert any(torch.is_floating_point(value) for value in tensors.values())
    # No report reads what the surrogate left: once the poison is brewed, nobody needs it.
    surrogate = plan.stages[surrogates.pop()]
    for kind, key in (("train", surrogate.key), ("corrupt", surrogate.input("corrupt"))):
        shutil.rmtree(Store(tmp_path / "store").path(kind, key))
    assert ", 0 to compute" in cli("run", file, "--out", "out", "--jobs", 1).stderr


def test_a_metric_looks_at_sixteen_models_of_one_method(cli: Cli, tmp_path: Path) -> None:
    changes = {
        "seeds": {"data": [0], "model": [0], "unlearn": {"first": 0, "count": 16}},
        "forget": {"set": "corrupted", "discovered": 0.5},
        "train": {"steps": 6, "batch_size": 32},
        "methods": ["none", "retrain", {"name": "finetune", "steps": 3}],
        "metrics": ["clean_accuracy", "throwaway_crowd"],
        "claims": [
            {
                "claim": "does_not_remove",
                "metric": "crowd_gap",
                "method": "*",
                "against": "retrain",
                "where": "T",
            }
        ],
    }
    file = written(tmp_path, **changes)
    plan = plan_of(file)
    for stage in plan.stages.values():
        for role, key in stage.inputs:
            assert plan.stages[key].kind == source_kind(stage, role), (stage.kind, role)
    counted = kinds(plan)
    # One base model; 16 of each method, and 8 retrained ones with seeds of their own.
    assert counted["train"] == 1
    assert counted["unlearn"] == 3 * 16 + 8
    assert counted["outputs"] == 3 * 16 + 8
    assert counted["score"] == 3
    names = [plan.describe(key) for key in plan.stages]
    assert len(set(names)) == len(names)
    assert "outputs finetune (seed 0/0/15)" in names
    assert "score finetune (data seed 0, model seed 0)" in names
    done = cli("run", file, "--out", "out", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    results = read_results(tmp_path / "out")
    scores = {row.method: row for row in results.scores}
    assert scores["none"].metrics["crowd_spread"] == 0  # one model, sixteen times
    assert scores["retrain"].metrics["crowd_gap"] == 0  # the same models on both sides
    assert scores["retrain"].metrics["crowd_oracle_gap"] > 0
    assert scores["finetune"].models == {"retrained": 16, "retrained+1000000": 8, "unlearned": 16}
    [verdict] = results.verdicts
    [pair] = verdict.pairs  # one base model is one repetition of the population
    assert (pair.method, pair.difference.n, verdict.verdict) == ("finetune", 1, "no verdict")
    assert pair.difference.mean == scores["finetune"].metrics["crowd_gap"]
    shown = (tmp_path / "out" / "report.md").read_text()
    assert "over n ≤ 16 unlearning seeds" in shown
    assert "crowd_oracle_gap" in shown
    # Outputs are kept instead of weights: of sixteen models the first has some.
    kept = [
        row.keys["unlearn"]
        for row in results.rows
        if Store(tmp_path / "store").has("unlearn", row.keys["unlearn"], tensors=True)
    ]
    assert len(kept) == 3


def test_a_head_is_trained_on_features_that_are_computed_once(cli: Cli, tmp_path: Path) -> None:
    data = yaml.safe_load(TINY)["data"]
    changes = {
        "seeds": [0, 1],
        "data": {**data, "features": {"name": "throwaway_projection", "size": 40}},
        "corruption": {"name": "label_noise", "count": {"sweep": [20, 40]}},
        "model": "throwaway_head",
        "metrics": ["clean_accuracy", "cost"],
    }
    file = written(tmp_path, **changes)
    plan = plan_of(file)
    assert kinds(plan)["features"] == 1
    assert facts_of(plan.groups[0].cell.data).encoding.size == 40
    done = cli("run", file, "--out", "out", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    results = read_results(tmp_path / "out")
    accuracies = [row.metrics["clean_accuracy"] for row in results.rows]
    assert min(a for a in accuracies if a is not None) > 0.3  # chance is 0.1
    record = json.loads((tmp_path / "out" / "results.json").read_text())
    assert record["stages"]["features"] == 1


def test_a_backbone_that_gives_no_vectors_is_refused(cli: Cli, tmp_path: Path) -> None:
    data = yaml.safe_load(TINY)["data"]
    file = written(tmp_path, data={**data, "features": "small_cnn"})
    done = cli("validate", file)
    assert done.returncode == 2
    assert "'small_cnn' is no backbone: it gives logits, not vectors" in done.stderr
    text = {"dataset": "throwaway_text", "features": {"name": "throwaway_projection"}}
    done = cli("validate", written(tmp_path, **{**TEXT, "data": text, "model": "throwaway_head"}))
    assert done.returncode == 2
    assert "'throwaway_projection' takes images; the data set has tokens" in done.stderr


def test_a_metric_looks_at_the_base_model_along_its_training(cli: Cli, tmp_path: Path) -> None:
    plain = {"methods": ["none"], "forget": {"set": "corrupted"}}
    recipe = {"steps": 6, "batch_size": 32}
    file = written(tmp_path, **plain, train=recipe, metrics=["throwaway_path"])
    plan = plan_of(file)
    assert kinds(plan)["prepare"] == 1  # which the metric asked for
    assert kinds(plan)["train"] == 1  # the base model itself, with snapshots
    without = plan_of(written(tmp_path, **plain, train=recipe, metrics=["clean_accuracy"]))
    bases = [next(s for s in p.stages.values() if s.kind == "train") for p in (plan, without)]
    assert bases[0].key != bases[1].key
    assert bases[0].draws == bases[1].draws  # so the weights are the same
    file = written(tmp_path, **plain, train=recipe, metrics=["throwaway_path"])
    done = cli("run", file, "--out", "out", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    [row] = read_results(tmp_path / "out").rows
    first, middle, end = (row.metrics[f"path_{step}"] for step in (0, 3, 6))
    assert first is not None and middle is not None
    assert first > middle > 0 == end
    assert row.metrics["path_information"] is not None and row.metrics["path_information"] > 0
    late = written(
        tmp_path, **plain, train={"steps": 5, "batch_size": 32}, metrics=["throwaway_path"]
    )
    done = cli("run", late, "--out", "late", "--jobs", 1)
    assert done.returncode == 1
    assert "a snapshot after step 6 of a training of 5" in done.stderr


def test_a_corruption_that_asks_for_its_own_result_is_told_so(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, corruption={"name": "throwaway_brew"}, metrics=["clean_accuracy"])
    asked = {
        "circle": Trained("circle", data="corrupted"),
        "fisher": Prepare("fisher", None, "train"),
    }
    known = load("corruptions")["throwaway_brew"]
    for name, request in asked.items():
        traits = attrs.evolve(known.traits, requests=lambda settings, r=request: (r,))
        mine = {**load("corruptions"), "throwaway_brew": attrs.evolve(known, traits=traits)}
        with monkeypatch.context() as patch:
            patch.setattr(
                catalogue,
                "load",
                lambda kind, mine=mine: mine if kind == "corruptions" else load(kind),
            )
            protocol._requests.cache_clear()
            with pytest.raises(HarnessError, match=f"'throwaway_brew' asks for '.*{name}"):
                plan_of(file)
        protocol._requests.cache_clear()


def test_one_name_for_two_different_requests_is_refused_instead_of_answered_wrongly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, metrics=["clean_accuracy", "throwaway_path"])
    other = Trained("path", data="clean")
    known = load("metrics")
    asking = attrs.evolve(known["clean_accuracy"].traits, requests=lambda settings: (other,))
    mine = {**known, "clean_accuracy": attrs.evolve(known["clean_accuracy"], traits=asking)}
    monkeypatch.setattr(catalogue, "load", lambda kind: mine if kind == "metrics" else load(kind))
    protocol._requests.cache_clear()
    with pytest.raises(HarnessError, match=r"'model:path' is asked for twice"):
        plan_of(file)
