"""Checkpoints that travel: published from one store, reused from an empty one."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from store.hub_server import TOKEN, HubServer

from conftest import TINY, environment

Run = Callable[..., subprocess.CompletedProcess[str]]


def call(folder: Path, *arguments: object, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**environment(folder), **changes},
        timeout=120,
    )


def results(folder: Path) -> dict:
    found = json.loads((folder / "results.json").read_text())
    return {name: value for name, value in found.items() if name != "provenance"}


def provenance(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())["provenance"]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, HubServer]]:
    """A folder with spec, store, results and registry, and the Hub they were published to."""
    folder = tmp_path_factory.mktemp("published")
    (folder / "tiny.yaml").write_text(TINY)
    assert call(folder, "run", "tiny.yaml", "--jobs", 1).returncode == 0
    with HubServer() as hub:
        hub.need_token = True
        online = hub.environment(folder / "hf")
        done = call(folder, "publish", "tiny.yaml", "--to", "lab/tiny", **online)
        assert done.returncode == 0, done.stderr
        assert TOKEN not in done.stdout + done.stderr
        yield folder, hub


@pytest.fixture
def hub(published: tuple[Path, HubServer]) -> Iterator[HubServer]:
    """A Hub that holds what was published, for one test to ill-treat."""
    with HubServer() as server:
        server.repos = copy.deepcopy(published[1].repos)
        server.blobs = dict(published[1].blobs)
        yield server


@pytest.fixture
def other(published: tuple[Path, HubServer], tmp_path: Path, hub: HubServer) -> Run:
    """The command line of somebody else: the spec and the registry, an empty store, online."""
    (tmp_path / "tiny.yaml").write_text(TINY)
    shutil.copytree(published[0] / "registry", tmp_path / "registry")

    def run(*arguments: object, **changes: str) -> subprocess.CompletedProcess[str]:
        online = hub.environment(tmp_path / "hf")
        return call(tmp_path, *arguments, **{**online, **changes})

    return run


def test_an_empty_store_needs_no_training_and_ends_with_the_same_results(
    published: tuple[Path, HubServer], other: Run, tmp_path: Path
) -> None:
    done = other("run", "tiny.yaml", "--jobs", 1, "--json-log", "log.jsonl")
    assert done.returncode == 0, done.stderr
    assert results(tmp_path / "results/tiny/default") == results(
        published[0] / "results/tiny/default"
    )
    assert "from the Hub: train small_cnn" in done.stderr
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    computed = {e["kind"] for e in events if e["event"] == "finished"}
    assert computed == {"prepare", "unlearn", "evaluate"}  # of the candidate nobody chose
    stages = provenance(tmp_path / "results/tiny/default")["stages"]
    assert len(stages["hub"]) == 10
    assert all(origin.startswith("lab/tiny@") for origin in stages["hub"].values())
    assert other("store", "verify").returncode == 0
