"""Vectors of a frozen backbone: what they depend on, and that no work is done twice."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from store.hub_server import HubServer

from commandline import in_this_process
from conftest import Cli
from harness.components import get
from harness.components.facts import Weights
from harness.plan.protocol import compile_plan
from harness.spec.structure import structure
from harness.stages.watch import StageWatch
from harness.store import Store

SPEC: dict[str, Any] = {
    "harness": 1,
    "id": "features",
    "version": "1.0.0",
    "seeds": [0],
    "data": {
        "dataset": "digits",
        "train_samples": 600,
        "test_samples": 200,
        "features": {"name": "random_projection", "size": 24},
    },
    "model": "linear",
    "train": {"steps": 20, "batch_size": 64, "optimizer": {"name": "sgd", "lr": 0.5}},
    "forget": {"set": "class", "label": 1},
    "methods": ["none"],
    "metrics": ["clean_accuracy", "forget_accuracy"],
}


def written(folder: Path, **changes: object) -> Path:
    file = folder / "spec.yaml"
    file.write_text(yaml.safe_dump({**SPEC, **changes}, sort_keys=False))
    return file


def key_of(**changes: object) -> str:
    """The key of the one features stage."""
    stages = compile_plan(structure({**SPEC, **changes})).stages.values()
    [stage] = [stage for stage in stages if stage.kind == "features"]
    return stage.key


def vectors(store: Path) -> dict[str, torch.Tensor]:
    found = Store(store).read("features", key_of()).tensors
    assert found is not None
    return found


def test_vectors_depend_on_the_backbone_and_the_data_and_on_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def data(**changes: object) -> dict[str, Any]:
        return {**SPEC["data"], **changes}

    same = [
        {"seeds": [3, 4]}, {"model": "mlp"}, {"data": data(validation=0.2)},
        {"train": {**SPEC["train"], "steps": 5}}, {"forget": {"set": "random"}},
    ]  # fmt: skip
    other = [
        {"data": data(train_samples=500)},
        {"data": data(features={"name": "random_projection", "size": 24, "seed": 1})},
        {"data": data(features={"name": "efficientnet_lite0", "resolution": 96})},
        {"data": data(features={"name": "efficientnet_lite0", "resolution": 64})},
        {"data": data(features={"name": "resnet50_features", "stage": 3})},
    ]
    assert {key_of(**changes) for changes in same} == {key_of()}
    keys = {key_of(), *(key_of(**changes) for changes in other)}
    assert len(keys) == 6
    traits = get("models", "efficientnet_lite0").traits
    pins = Weights("elsewhere", "sha256:0", "MIT")
    monkeypatch.setattr("harness.stages.features._weights_of", lambda use: pins)
    assert key_of(**other[2]) not in keys  # other weights under the same name
    assert traits.weights(get("models", "efficientnet_lite0").settings(pretrained=False)) is None


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a run that nothing interrupted, beside its spec."""
    folder = tmp_path_factory.mktemp("whole")
    written(folder)
    assert in_this_process(folder, "run", "spec.yaml", "--jobs", 1).returncode == 0
    return folder / "store"


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_an_interrupted_extraction_goes_on_and_gives_the_same_bytes(
    cli: Cli, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("harness.stages.features.BATCH", 100)
    # Killed, only what was saved on the way is there: here after each batch.
    monkeypatch.setattr("harness.stages.compute.SAVE_SECONDS", 0 if how == "killed" else 99)
    shown: list[int] = []
    step = StageWatch.step

    def counted(self: StageWatch, done: int, total: int, loss: float | None) -> None:
        if total == 800:
            shown.append(done)
            if len(shown) == 7:
                if how == "killed":
                    raise RuntimeError("killed")
                self.stop.set()
        step(self, done, total, loss)

    monkeypatch.setattr(StageWatch, "step", counted)
    file = written(tmp_path)
    ended = cli("run", file, "--out", "out", "--jobs", 1)
    assert ended.returncode == {"stopped": 130, "killed": 1}[how], ended.stderr
    assert shown == [100, 200, 300, 400, 500, 600, 700]
    shown += [0]  # interrupt no more
    assert cli("run", file, "--out", "out", "--jobs", 1).returncode == 0
    # What was saved is counted first: all parts of the training set, and of the test set what
    # was there; killed in the seventh batch, that one was not.
    assert shown[8:] == ([600, 700, 800] if how == "stopped" else [*range(100, 801, 100)])
    found, expected = vectors(tmp_path / "store"), vectors(whole)
    assert all(torch.equal(found[name], expected[name]) for name in ("train", "test"))
    records = [Store(store).record("features", key_of()) for store in (tmp_path / "store", whole)]
    assert [record["meter"]["forward"] for record in records] == [800, 800]
    assert records[0]["weights"] == records[1]["weights"]


def test_published_vectors_are_used_again_without_the_backbone(whole: Path, tmp_path: Path) -> None:
    written(tmp_path)
    with HubServer() as hub:
        online = hub.environment(tmp_path / "hf")
        done = in_this_process(whole.parent, "publish", "spec.yaml", "--to", "lab/it", **online)
        assert done.returncode == 0, done.stderr
        shutil.move(whole.parent / "registry", tmp_path / "registry")
        done = in_this_process(tmp_path, "run", "spec.yaml", "--jobs", 1, **online)
    assert done.returncode == 0, done.stderr
    assert "from the Hub: features random_projection" in done.stderr
    assert torch.equal(vectors(tmp_path / "store")["train"], vectors(whole)["train"])


def test_what_does_not_go_with_a_backbone_is_refused_with_its_line(
    cli: Cli, tmp_path: Path
) -> None:
    data = {**SPEC["data"], "augment": ["horizontal_flip"]}
    done = cli("validate", written(tmp_path, data=data, model="random_projection"))
    assert done.returncode == 2
    assert "'horizontal_flip' takes images; the data set has features" in done.stderr
    assert "'random_projection' is a backbone: it gives vectors, not logits" in done.stderr
