"""Checkpoints that travel: published from one store, reused from an empty one."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from store.hub_server import TOKEN, HubServer

from commandline import in_this_process as call
from conftest import TINY

Run = Callable[..., subprocess.CompletedProcess[str]]


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
    assert "from the Hub: train (seed 0)" in done.stderr
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    computed = {e["kind"] for e in events if e["event"] == "finished"}
    assert computed == {"prepare", "unlearn", "evaluate"}  # of the candidate nobody chose
    stages = provenance(tmp_path / "results/tiny/default")["stages"]
    assert len(stages["hub"]) == 10
    assert all(origin.startswith("lab/tiny@") for origin in stages["hub"].values())
    assert "10 from the Hub (lab/tiny@" in (tmp_path / "results/tiny/default/report.md").read_text()
    assert other("store", "verify").returncode == 0


def test_the_plan_counts_what_is_published_and_asks_nobody(
    other: Run, tmp_path: Path, hub: HubServer
) -> None:
    asked = len(hub.requests)
    shown = other("plan", "tiny.yaml")
    assert "registry: 10 stages that are not cached lie on the Hub" in shown.stdout, shown.stderr
    assert len(hub.requests) == asked
    done = re.findall(r"^(train|prepare|unlearn) .* (\d+) +(\d+)  ", shown.stdout, re.MULTILINE)
    assert ("train", "1", "1") in done  # what the Hub has need not be computed
    assert other("pull", "tiny.yaml").returncode == 0
    assert "registry:" not in other("plan", "tiny.yaml").stdout
    assert json.loads(other("plan", "tiny.yaml", "--json").stdout)["fetchable"] == 0
    elsewhere = other("plan", "tiny.yaml", "--registry", tmp_path / "none")
    assert elsewhere.returncode == 2 and "no such folder" in elsewhere.stderr


def test_offline_the_cache_of_the_hub_library_serves_an_empty_store(
    published: tuple[Path, HubServer], other: Run, tmp_path: Path, hub: HubServer
) -> None:
    assert other("run", "tiny.yaml", "--jobs", 1).returncode == 0
    shutil.rmtree(tmp_path / "store")
    hub.repos.clear()
    command = ("run", "tiny.yaml", "--jobs", 1, "--offline", "--json-log", "log.jsonl")
    done = other(*command, "--out", "offline")
    assert done.returncode == 0, done.stderr
    assert results(tmp_path / "offline") == results(published[0] / "results/tiny/default")
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert "train" not in {e["kind"] for e in events if e["event"] == "finished"}
    assert len(provenance(tmp_path / "offline")["stages"]["hub"]) == 10


def test_a_flipped_byte_on_the_hub_ends_with_code_4_and_both_hashes(
    other: Run, tmp_path: Path, hub: HubServer
) -> None:
    hub.flip("train/")
    entry = next((tmp_path / "registry/tiny").glob("train-*.yaml"))
    done = other("run", "tiny.yaml", "--jobs", 1)
    assert done.returncode == 4, done.stderr
    assert "Traceback" not in done.stderr
    assert entry.name in done.stderr
    expected = entry.read_text().split("sha256: ")[2].split()[0]
    assert f"should be {expected}" in done.stderr
    assert len(list((tmp_path / "store/damaged").rglob("tensors.safetensors"))) == 1
    assert not (tmp_path / "store/train").exists()
    done = other("run", "tiny.yaml", "--jobs", 1, "--no-reuse", "--only", "method=none")
    assert done.returncode == 0, done.stderr


def test_a_hub_that_dies_in_the_middle_is_replaced_by_computing(
    published: tuple[Path, HubServer], other: Run, tmp_path: Path, hub: HubServer
) -> None:
    hub.fail("GET", "/cdn/lab/tiny", "reset")
    hub.faults[-1].skip = 2
    done = other("run", "tiny.yaml", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    assert "Going on without lab/tiny" in done.stderr
    assert "from the Hub: train (seed 0)" in done.stderr
    assert results(tmp_path / "results/tiny/default") == results(
        published[0] / "results/tiny/default"
    )


def test_what_only_the_report_reads_is_fetched_when_it_is_lost_or_damaged(
    published: tuple[Path, HubServer], other: Run, tmp_path: Path
) -> None:
    store = shutil.copytree(published[0] / "store", tmp_path / "store")
    shutil.rmtree(store / "corrupt")
    sorted((store / "prepare").rglob("record.json"))[0].write_text("{}")
    done = other("run", "tiny.yaml", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    assert "from the Hub: corrupt badnet" in done.stderr
    assert "from the Hub: prepare" in done.stderr
    assert "19 cached, 0 to compute" in done.stderr
    folders = (tmp_path, published[0])
    mine, theirs = (results(folder / "results/tiny/default") for folder in folders)
    assert mine == theirs


def test_a_spec_that_shares_the_base_model_reuses_it(other: Run, tmp_path: Path) -> None:
    mine = TINY.replace("id: tiny", "id: mine").replace("- retrain", "- {name: finetune, steps: 5}")
    (tmp_path / "mine.yaml").write_text(mine)
    done = other("run", "mine.yaml", "--jobs", 1, "--only", "method=finetune")
    assert done.returncode == 0, done.stderr
    assert "from the Hub: train (seed 0)" in done.stderr
    assert "] train (seed 0)" not in done.stderr


def test_pull_fetches_everything_once_and_then_the_network_is_not_needed(
    other: Run, tmp_path: Path, hub: HubServer
) -> None:
    done = other("pull", "tiny.yaml")
    assert done.returncode == 0, done.stderr
    assert "10 checkpoints fetched, 0 were there already" in done.stdout
    asked = len(hub.requests)
    done = other("pull", "tiny.yaml", "--offline", "--store", "second")  # from the library's cache
    assert "10 checkpoints fetched" in done.stdout, done.stderr
    assert len(hub.requests) == asked
    assert "0 checkpoints fetched, 10" in other("pull", "tiny.yaml").stdout
    assert other("verify", "tiny.yaml").stdout.startswith("10 of the plan's")


def test_pull_from_a_hub_that_is_down_ends_with_code_5(
    other: Run, tmp_path: Path, hub: HubServer
) -> None:
    done = other("pull", "tiny.yaml", HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 5
    assert "could not be reached" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "store").exists()


@pytest.fixture
def author(published: tuple[Path, HubServer], tmp_path: Path) -> Iterator[tuple[Run, HubServer]]:
    """The command line of somebody with results and an empty Hub to publish them to."""
    for name in ("store", "results"):
        shutil.copytree(published[0] / name, tmp_path / name)
    (tmp_path / "tiny.yaml").write_text(TINY)
    with HubServer() as hub:
        online = hub.environment(tmp_path / "hf")
        yield lambda *a, **changes: call(tmp_path, *a, **{**online, **changes}), hub


def test_a_dry_run_of_publish_asks_nobody(author: tuple[Run, HubServer], tmp_path: Path) -> None:
    run, hub = author
    done = run("publish", "tiny.yaml", "--to", "lab/tiny", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "would publish 10 checkpoints" in done.stdout
    assert not hub.requests
    assert not (tmp_path / "registry").exists()
    assert run("publish", "tiny.yaml", "--to", "../tiny").returncode == 2


def test_a_publish_that_was_cut_off_can_be_repeated(
    author: tuple[Run, HubServer], tmp_path: Path
) -> None:
    run, hub = author
    hub.fail("PUT", "/lfs/", (500, {}, "no"), times=10**6)
    hub.faults[-1].skip = 2
    done = run("publish", "tiny.yaml", "--to", "lab/tiny")
    assert done.returncode == 5
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "registry").exists()
    assert len(hub.repos["lab/tiny"].commits) == 1
    hub.faults.clear()
    hub.fail("POST", "/commit/", "cut", times=1)  # committed, but the answer was lost
    done = run("publish", "tiny.yaml", "--to", "lab/tiny", "--private")
    assert done.returncode == 0, done.stderr
    assert len(hub.repos["lab/tiny"].commits) == 2
    assert hub.repos["lab/tiny"].head in done.stdout
    assert len(list((tmp_path / "registry/tiny").glob("*.yaml"))) == 10
    done = run("publish", "tiny.yaml", "--to", "lab/tiny")
    assert "nothing new to publish" in done.stdout


def test_a_conflict_is_looked_at_again(author: tuple[Run, HubServer], tmp_path: Path) -> None:
    run, hub = author
    hub.fail("POST", "/commit/", (412, {}, "A commit has happened since"), times=1)
    done = run("publish", "tiny.yaml", "--to", "lab/tiny")
    assert done.returncode == 0, done.stderr
    card = hub.repos["lab/tiny"].commits[hub.repos["lab/tiny"].head]["README.md"].decode()
    measured = ModelCard(card).data.eval_results
    found = results(tmp_path / "results/tiny/default")["summary"]
    assert [r.metric_value for r in measured or ()] == [
        value["mean"] for row in found for value in row["metrics"].values()
    ]
    for part in ("model-index", "license: apache-2.0", "load_file(hf_hub_download(", "checklist"):
        assert part in card
    assert str(tmp_path) not in card
    assert TOKEN not in card


def test_registry_files_that_could_not_be_written_come_with_the_next_publish(
    author: tuple[Run, HubServer], tmp_path: Path
) -> None:
    run, hub = author
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / "tiny").write_text("in the way")
    done = run("publish", "tiny.yaml", "--to", "lab/tiny")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    (tmp_path / "registry" / "tiny").unlink()
    done = run("publish", "tiny.yaml", "--to", "lab/tiny")
    assert done.returncode == 0, done.stderr
    assert len(hub.repos["lab/tiny"].commits) == 2
    assert len(list((tmp_path / "registry/tiny").iterdir())) == 10


def test_no_token_is_repeated(author: tuple[Run, HubServer], tmp_path: Path) -> None:
    run, hub = author
    said = json.dumps({"error": f"no rights for Bearer {TOKEN} and {TOKEN}"})
    warned = json.dumps({"errors": [], "warnings": [{"message": f"a {TOKEN} b"}]})
    hub.fail("POST", "/api/validate-yaml", (200, {"X-HF-Warning": f"auth; {TOKEN}"}, warned))
    hub.fail("POST", "/commit/", (400, {"X-HF-Warning": f"auth; {TOKEN}"}, said))
    done = run("--debug", "publish", "tiny.yaml", "--to", "lab/tiny")
    assert done.returncode != 0
    assert "no rights for" in done.stderr
    assert run("pull", "tiny.yaml", "--registry", ".", HARNESS_HUB_WAIT="ages").returncode == 2
    assert TOKEN not in done.stdout + done.stderr
    for file in tmp_path.rglob("*.json*"):
        assert TOKEN not in file.read_text()


def test_verify_computes_again_and_compares(author: tuple[Run, HubServer], tmp_path: Path) -> None:
    run, _ = author
    done = run("verify", "tiny.yaml", "--recompute", 2)
    assert done.returncode == 0, done.stderr
    assert "2 stages computed again: the same bytes" in done.stdout
    from harness.store import Store

    store = Store(tmp_path / "store")
    key = next((tmp_path / "store/train").glob("*/*")).name
    forged = store.read("train", key)
    assert forged.tensors is not None
    shutil.rmtree(store.path("train", key))
    changed = {name: value * 2 for name, value in forged.tensors.items()}
    store.write("train", key, forged.record, changed)
    done = run("verify", "tiny.yaml", "--recompute", 4)
    assert done.returncode == 1
    assert "train (seed 0)" in done.stderr
    file = next((tmp_path / "store/corrupt").rglob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    done = run("verify", "tiny.yaml")
    assert done.returncode == 4
    assert file.parent.name in done.stderr


def test_the_registry_is_checked_against_the_specs(other: Run, tmp_path: Path) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs/tiny.yaml").write_text(TINY)
    done = other("registry", "check")
    assert done.returncode == 0, done.stderr
    assert "10 entries" in done.stdout
    entry = next((tmp_path / "registry/tiny").glob("train-*.yaml"))
    key = entry.read_text().split("key: ")[1].split()[0]
    (tmp_path / "registry/tiny/again.yaml").write_text(entry.read_text())
    entry.with_name("strange.yaml").write_text(entry.read_text().replace(key, "ab" * 32))
    done = other("registry", "check")
    assert done.returncode == 4
    assert "two entries for one key" in done.stderr
    assert "strange.yaml: no train stage of" in done.stderr
    done = other("run", "tiny.yaml")
    assert done.returncode == 2
    assert "two entries for one key" in done.stderr
