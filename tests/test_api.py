"""The package as Python uses it: what it loads, runs and gives back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import close_session, constants
from store.hub_server import TOKEN, HubServer

import harness
from conftest import ROOT, TINY
from harness.api import _model
from harness.commands.publish import publish
from harness.commands.publish.offers import PublishRequest
from harness.components import NoSettings, get
from harness.data.subset import subset
from harness.data.types import DataRoot
from harness.errors import HarnessError, IntegrityError, StageFailed, UsageError
from harness.plan.model_config import described
from harness.spec.origins import written
from harness.store import hub as hub_module
from harness.store.hub import Hub


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder with a spec and its store, and the results of running it."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "tiny.yaml").write_text(TINY)
    where = {"store": folder / "store", "out": folder / "results"}
    return folder, harness.run(folder / "tiny.yaml", jobs=1, **where)


def test_importing_the_package_imports_nothing_else() -> None:
    code = (
        "import sys\nbefore = set(sys.modules)\nimport harness\n"
        "assert {'load', 'run', 'load_model'} <= set(dir(harness))\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "assert not new & {'torch', 'numpy', 'yaml', 'attrs', 'click', 'tabulate'}, new\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        harness.lode  # noqa: B018


def test_a_loaded_spec_knows_where_its_values_come_from(tiny: Path) -> None:
    changed = harness.load(tiny, profile="smoke", sets=["train.batch_size=16", "seeds=[3]"])
    assert (changed.profile, changed.changes) == ("smoke", ("train.batch_size=16", "seeds=[3]"))
    assert changed.spec.train.batch_size == 16
    assert changed.folder == Path("results/tiny/smoke")
    places = {path: place for path, _, _, place in written(changed.origins)}
    assert places["train.steps"] == "changed by profile smoke"
    assert len(harness.load(str(tiny)).plan().stages) == 19
    groups = changed.plan(only=["method=ssd", "discovered=0.5"]).groups
    assert [(group.method.label, group.cell.seed) for group in groups] == [("ssd", 3)]
    with pytest.raises(HarnessError, match="did you mean 'smoke'"):
        harness.load(tiny, profile="smokey")


def test_a_run_gives_the_results_that_it_wrote(made: tuple[Path, Any]) -> None:
    folder, results = made
    assert harness.read_results(str(folder / "results")) == results
    assert sum(row.selected for row in results.rows) == 6
    assert results.provenance.command == "harness run tiny.yaml"


@pytest.mark.parametrize("method", ["none", "ssd", "retrain"])
def test_a_loaded_model_measures_what_the_results_say(made: tuple[Path, Any], method: str) -> None:
    folder, results = made
    asked: dict[str, Any] = {"method": method, "seed": 0, "cell": {"discovered": 0.5}}
    model = harness.load_model(results, **asked, store=folder / "store")
    assert not model.training
    digits = get("datasets", "digits").function(NoSettings(), DataRoot(None, offline=True))
    cut = subset(digits, 300, 100)
    encoding = cut.encoding
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (encoding.mean, encoding.std))
    with torch.inference_mode():
        right = model((cut.test.inputs / 255 - mean) / std).argmax(1) == cut.test.targets
    [row] = [
        row
        for row in results.rows
        if row.selected and row.method == method and row.cell == {"discovered": 0.5}
    ]
    assert float(right.float().mean()) == pytest.approx(row.metrics["clean_accuracy"])


def test_loading_a_model_leaves_the_random_numbers_alone(made: tuple[Path, Any]) -> None:
    folder, results = made
    asked: dict[str, Any] = {"method": "none", "cell": {"discovered": 1.0}}
    before = torch.get_rng_state()
    first = harness.load_model(results, **asked, store=folder / "store").state_dict()
    again = harness.load_model(folder / "results", **asked, store=folder / "store").state_dict()
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"method": "sdd"}, "did you mean 'ssd'"),
        ({"method": "ssd", "seed": 7}, "no result with seed 7 (there: 0)"),
        ({"method": "ssd", "cell": {"discoverd": 1}}, "did you mean 'discovered'"),
        ({"method": "ssd", "cell": {"discovered": 0.7}}, "(there: 1.0, 0.5)"),
        ({"method": "ssd"}, "2 models fit; say which: discovered (1.0, 0.5)"),
        ({}, "say which: method (none, retrain, ssd), discovered (1.0, 0.5)"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(
    made: tuple[Path, Any], asked: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        harness.load_model(made[1], **asked, store=made[0] / "store")
    assert words in str(caught.value)


def test_a_store_without_the_weights_is_named(made: tuple[Path, Any], tmp_path: Path) -> None:
    asked: dict[str, Any] = {"method": "ssd", "cell": {"discovered": 1.0}}
    with pytest.raises(HarnessError, match="no weights of ssd") as caught:
        harness.load_model(made[1], **asked, store=tmp_path / "empty")
    assert str(tmp_path / "empty") in str(caught.value)


def test_a_failed_stage_is_an_error_that_names_it(tiny: Path, tmp_path: Path) -> None:
    diverging = harness.load(tiny, sets=["train.optimizer.lr=1e30", "methods=[retrain]"])
    with pytest.raises(StageFailed, match="the loss is nan"):
        harness.run(diverging, jobs=1, store=tmp_path / "store", out=tmp_path / "out")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """A Hub that every command of this process talks to."""
    agents = tmp_path / "agents.json"  # else the library asks the real Hub for this list
    agents.write_text('{"standardEnvVars": [], "harnesses": {}}')
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(agents), raising=False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with HubServer() as found:
        here = partial(Hub, endpoint=found.endpoint, cache=tmp_path / "cache", wait=2)
        monkeypatch.setattr(hub_module, "Hub", here)
        yield found
    close_session()


def test_a_published_model_is_a_module_after_two_lines(
    made: tuple[Path, Any], server: HubServer, tmp_path: Path
) -> None:
    folder, results = made
    request = PublishRequest(
        plan=harness.load(folder / "tiny.yaml").plan(),
        profile=None,
        spec_file=folder / "tiny.yaml",
        store=folder / "store",
        repo="lab/tiny",
        registry=tmp_path / "registry",
        results=results,
        licence="apache-2.0",
    )
    publish(request, {}, hub_module.Hub())
    asked: dict[str, Any] = {"method": "ssd", "seed": 0, "cell": {"discovered": 0.5}}
    model = harness.load_checkpoint("lab/tiny", **asked)
    local = harness.load_model(results, **asked, store=folder / "store").state_dict()
    assert not model.training
    assert local.keys() == model.state_dict().keys()
    assert all(torch.equal(value, local[name]) for name, value in model.state_dict().items())
    repo = server.repos["lab/tiny"]
    pinned = list(repo.commits)[-2]
    harness.load_checkpoint("lab/tiny", **asked, revision=pinned)
    asked_before = len(server.requests)
    harness.load_checkpoint("lab/tiny", **asked, revision=pinned, offline=True)
    harness.load_checkpoint(tmp_path / "registry/tiny.jsonl", **asked, offline=True)
    assert len(server.requests) == asked_before
    harness.load_checkpoint("lab/tiny", method="train", revision=pinned)
    with pytest.raises(UsageError, match=r"2 models fit; say which: discovered \(0\.5, 1\.0\)"):
        harness.load_checkpoint("lab/tiny", method="retrain")
    with pytest.raises(UsageError, match="did you mean 'ssd'"):
        harness.load_checkpoint("lab/tiny", method="sssd")
    with pytest.raises(UsageError, match="neither a repository"):
        harness.load_checkpoint("tiny")


def test_a_strangers_config_is_checked_before_anything_is_built(
    made: tuple[Path, Any], tmp_path: Path
) -> None:
    file = tmp_path / "config.json"
    data = {"dataset": {"name": "digits"}}
    for model, words in [
        ({"name": "os.system"}, "asks for what is not installed"),
        ({"name": "small_cnn", "widths": "many"}, "describes no model"),
        ("x" * 10**5, "asks for what is not installed"),
    ]:
        file.write_text(json.dumps({"data": data, "model": model}))
        with pytest.raises(IntegrityError, match=words) as caught:
            described(file, "a config")
        assert len(str(caught.value)) < 400
    file.write_text("[" * 10**5)
    with pytest.raises(IntegrityError, match="describes no model"):
        described(file, "a config")
    huge = {"name": "small_cnn", "widths": [8, 10**6]}
    file.write_text(json.dumps({"data": data, "model": huge}))
    with pytest.raises(IntegrityError, match="do not fit the model"):
        _model(*described(file, "a config"), {})


def test_an_offline_run_leaves_the_environment_as_it_was(
    finished: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {"store": finished, "out": tmp_path / "out", "jobs": 1}
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    harness.run(tiny, **asked, offline=True)
    assert "HF_HUB_OFFLINE" not in os.environ
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    harness.run(tiny, **asked, offline=True)
    assert os.environ["HF_HUB_OFFLINE"] == "0"
