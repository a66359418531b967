"""What the Hub sends with the right hashes is held against the plan before it is adopted."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from store.hub_server import HubServer

from commandline import in_this_process as call
from conftest import TINY
from harness.store.files import seal, unseal

Tensors = dict[str, torch.Tensor]
Change = Callable[[dict[str, Any], Tensors], None]


@pytest.fixture(scope="module")
def published(
    finished_once: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, HubServer]]:
    """A folder with spec, store and registry, and the Hub they were published to."""
    folder = tmp_path_factory.mktemp("published")
    (folder / "tiny.yaml").write_text(TINY)
    shutil.copytree(finished_once, folder / "store")
    with HubServer() as hub:
        online = hub.environment(folder / "hf")
        done = call(folder, "publish", "tiny.yaml", "--to", "lab/tiny", **online)
        assert done.returncode == 0, done.stderr
        yield folder, hub


@pytest.fixture
def hub(published: tuple[Path, HubServer]) -> Iterator[HubServer]:
    with HubServer() as server:
        server.repos = copy.deepcopy(published[1].repos)
        server.blobs = dict(published[1].blobs)
        yield server


@pytest.fixture
def reader(published: tuple[Path, HubServer], tmp_path: Path) -> Path:
    """The folder of somebody else: spec and registry, and an empty store."""
    (tmp_path / "tiny.yaml").write_text(TINY)
    shutil.copytree(published[0] / "registry", tmp_path / "registry")
    return tmp_path


def entry_of(folder: Path, name: str) -> dict[str, Any]:
    """The first entry of an artifact that is called so."""
    lines = (folder / "registry" / "tiny.jsonl").read_text().splitlines()
    return next(e for e in map(json.loads, lines) if e["path"].startswith(f"tiny/default/{name}"))


def vouched(hub: HubServer, folder: Path, name: str, change: Change) -> str:
    """Change an artifact on the Hub, whose hashes then say that it is right. Returns its key."""
    plain = entry_of(folder, name)
    before = json.dumps(plain)
    files = hub.repos[plain["repo"]].commits[plain["commit"]]
    record, weights = (f"{plain['path']}/{name}" for name in ("record.json", "tensors.safetensors"))
    content = unseal(files[record], folder, plain["kind"], plain["key"])
    tensors = load(files[weights])
    change(content["record"], tensors)
    saved = save(tensors)
    content["tensors"] = {"sha256": hashlib.sha256(saved).hexdigest(), "bytes": len(saved)}
    for path, new in ((record, sealed(content)), (weights, saved)):
        files[path] = new
        pinned = {"sha256": hashlib.sha256(new).hexdigest(), "bytes": len(new)}
        plain["files"][path.rpartition("/")[2]] = pinned
        hub.blobs[pinned["sha256"]] = new
    file = folder / "registry" / "tiny.jsonl"
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, json.dumps(plain)))
    return str(plain["key"])


def sealed(content: dict[str, Any]) -> bytes:
    """As ``seal``, which refuses what is not finite."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    if "NaN" not in text:
        return seal(content)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f'{{"sha256":"{digest}","content":{text}}}\n'.encode()


def first(tensors: Tensors) -> str:
    return min(name for name, value in tensors.items() if value.is_floating_point())


def without(record: dict[str, Any], tensors: Tensors) -> None:
    del tensors[first(tensors)]


def with_more(record: dict[str, Any], tensors: Tensors) -> None:
    tensors["backdoor.weight"] = torch.zeros(3)


def of_double(record: dict[str, Any], tensors: Tensors) -> None:
    tensors[first(tensors)] = tensors[first(tensors)].double()


def of_other_shape(record: dict[str, Any], tensors: Tensors) -> None:
    tensors[first(tensors)] = tensors[first(tensors)].flatten()[1:].clone()


def not_finite(record: dict[str, Any], tensors: Tensors) -> None:
    tensors[first(tensors)].fill_(float("nan"))


def nan_in_the_record(record: dict[str, Any], tensors: Tensors) -> None:
    record["seconds"]["wall"] = float("nan")


def of_another_method(record: dict[str, Any], tensors: Tensors) -> None:
    record["stage"]["uses"] = ["retrain"]


def of_another_revision(record: dict[str, Any], tensors: Tensors) -> None:
    record["stage"]["revisions"] = [99]


def of_other_inputs(record: dict[str, Any], tensors: Tensors) -> None:
    record["stage"]["inputs"]["corrupt"] = "ab" * 32


def of_other_rows(record: dict[str, Any], tensors: Tensors) -> None:
    tensors["train_rows"] = tensors["train_rows"][1:].clone()


def of_more_data(record: dict[str, Any], tensors: Tensors) -> None:
    record["data"]["train"] += 1


WRONG: list[tuple[str, Change, str]] = [
    ("train", without, "is missing"),
    ("train", with_more, "nothing is known of 'backdoor.weight'"),
    ("train", of_double, "is float64 "),
    ("train", of_other_shape, "is needed"),
    ("train", not_finite, "is not finite"),
    ("train", nan_in_the_record, "NaN is not a finite number"),
    ("train", of_other_inputs, "stage.inputs"),
    ("ssd", of_another_method, "stage.uses: ['retrain']; ['ssd'] is needed"),
    ("ssd", of_another_revision, "stage.revisions: [99]"),
    ("ssd", without, "is missing"),
    ("corrupt", of_other_rows, "each once"),
    ("corrupt", of_more_data, "they are of 301 train samples; there are 300"),
]


@pytest.mark.parametrize(
    ("name", "change", "why"), WRONG, ids=[f"{name} {f.__name__}" for name, f, _ in WRONG]
)
def test_what_is_not_of_the_stage_never_enters_the_store(
    name: str, change: Change, why: str, reader: Path, hub: HubServer
) -> None:
    key = vouched(hub, reader, name, change)
    done = call(reader, "pull", "tiny.yaml", **hub.environment(reader / "hf"))
    assert done.returncode == 4, done.stdout + done.stderr
    assert why in done.stderr
    assert f"tiny/default/{name}" in done.stderr
    assert not list((reader / "store").glob(f"*/*/{key}"))


@pytest.mark.parametrize("name", ["train", "ssd"])
def test_a_zeroed_model_is_said_not_to_measure_what_its_entry_says(
    name: str, reader: Path, hub: HubServer
) -> None:
    def zeroed(record: dict[str, Any], tensors: Tensors) -> None:
        for value in tensors.values():
            value.zero_()

    for one in {name, "none"} if name == "train" else {name}:
        vouched(hub, reader, one, zeroed)
    online = hub.environment(reader / "hf")
    for _ in range(2):  # whether it was fetched in this run or before
        done = call(reader, "run", "tiny.yaml", "--jobs", 1, **online)
        assert done.returncode == 0, done.stderr
        said = [line for line in done.stderr.splitlines() if f"tiny/default/{name}" in line]
        assert said, done.stderr
        assert "attack_success_rate" in said[0]
        assert "instead of" in said[0]
    report = (reader / "results" / "tiny" / "default" / "report.md").read_text()
    assert f"tiny/default/{name}" in report


def test_what_measures_as_published_is_not_talked_about(reader: Path, hub: HubServer) -> None:
    done = call(reader, "run", "tiny.yaml", "--jobs", 1, **hub.environment(reader / "hf"))
    assert done.returncode == 0, done.stderr
    assert "instead of" not in done.stderr
    assert set(entry_of(reader, "train")["metrics"]) >= {"clean_accuracy", "attack_success_rate"}
