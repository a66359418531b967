"""Checkpoints that travel: published from one store, reused from an empty one."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
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


def entries(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(x) for x in (folder / "registry/tiny.jsonl").read_text().splitlines()]


def entry_of(folder: Path, method: str) -> dict[str, Any]:
    return next(e for e in entries(folder) if e["method"] == method)


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
    hub.flip("train-small_cnn/seed=0/tensors")
    done = other("run", "tiny.yaml", "--jobs", 1)
    assert done.returncode == 4, done.stderr
    assert "Traceback" not in done.stderr
    assert "tiny/default/train-small_cnn/seed=0 in " in done.stderr
    expected = entry_of(tmp_path, "train")["files"]["tensors.safetensors"]["sha256"]
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
    assert "from the Hub: " in done.stderr
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
    assert len(hub.repos["lab/tiny"].commits) == 3
    assert {e["commit"] for e in entries(tmp_path)} == {list(hub.repos["lab/tiny"].commits)[1]}
    assert len(entries(tmp_path)) == 10
    done = run("publish", "tiny.yaml", "--to", "lab/tiny")
    assert "nothing new to publish" in done.stdout


def test_a_conflict_is_looked_at_again(author: tuple[Run, HubServer], tmp_path: Path) -> None:
    run, hub = author
    hub.fail("POST", "/commit/", (412, {}, "A commit has happened since"), times=1)
    done = run("publish", "tiny.yaml", "--to", "lab/tiny")
    assert done.returncode == 0, done.stderr
    assert len(hub.repos["lab/tiny"].commits) == 3
    assert TOKEN not in head(hub)["README.md"].decode()


def head(hub: HubServer) -> dict[str, bytes]:
    repo = hub.repos["lab/tiny"]
    return repo.commits[repo.head]


def test_the_card_has_a_row_with_numbers_and_a_pinned_call_for_each_model(
    author: tuple[Run, HubServer], tmp_path: Path
) -> None:
    run, hub = author
    paper = (
        "paper: {title: A Tiny Paper, authors: [Ada Lovelace], venue: Notes 2024, "
        "arxiv: '2406.09173'}\n"
    )
    (tmp_path / "tiny.yaml").write_text(TINY + paper)
    done = run("publish", "tiny.yaml", "--to", "lab/tiny", "--license", "mit")
    assert done.returncode == 0, done.stderr
    files, repo = head(hub), hub.repos["lab/tiny"]
    card = files["README.md"].decode()
    data = ModelCard(card).data
    assert (data.license, data.pipeline_tag) == ("mit", "image-classification")
    assert "arxiv:2406.09173" in (data.tags or [])
    assert "@misc{lovelace2024," in card
    path = "tiny/default/ssd/discovered=0.5/seed=0"
    assert {f"{path}/{name}" for name in ("record.json", "tensors.safetensors", "config.json")} <= {
        *files
    }
    found = json.loads(files[f"{path}/config.json"])
    assert found["model"]["widths"] == [8, 16] and found["classes"] == 10
    assert found["preprocessing"]["mean"]
    pinned = list(repo.commits)[-2]
    called = (
        'harness.load_checkpoint("lab/tiny", method="ssd", seed=0, cell={\'discovered\': 0.5}, '
        f'revision="{pinned}")'
    )
    [row] = [line for line in card.splitlines() if called in line and line.startswith("|")]
    summary = results(tmp_path / "results/tiny/default")["summary"]
    [measured] = [
        each["metrics"]["clean_accuracy"]["mean"]
        for each in summary
        if (each["method"], each["cell"]["discovered"]) == ("ssd", 0.5)
    ]
    assert f"{measured:.4g}" in row
    index = yaml.safe_load(card.split("---")[1])["model-index"]
    assert len({each["name"] for each in index}) == len(index) == 6
    [own] = [each["results"] for each in index if each["name"] == path]
    assert own[0]["dataset"] == {"name": "digits", "type": "digits", "split": "test"}
    accuracy = {"type": "accuracy", "name": "clean_accuracy", "value": measured}
    assert accuracy in own[0]["metrics"]
    [spec] = [p for p in files if p.startswith("specs/")]
    assert files[spec].decode().startswith("# Published: checkpoints of seeds 0.\n")
    assert str(tmp_path) not in card


def test_a_second_spec_and_a_second_publisher_lose_nothing(
    published: tuple[Path, HubServer], author: tuple[Run, HubServer], tmp_path: Path
) -> None:
    run, hub = author
    for only in ("method=ssd", "method=none"):
        shutil.rmtree(tmp_path / "registry", ignore_errors=True)  # another's
        done = run("publish", "tiny.yaml", "--to", "lab/tiny", "--only", only, "--seeds", "0")
        assert done.returncode == 0, done.stderr
    mine = TINY.replace("id: tiny", "id: mine").replace(
        "discovered: {sweep: [1.0, 0.5]}", "discovered: 0.5"
    )
    (tmp_path / "mine.yaml").write_text(mine)
    done = run("publish", "mine.yaml", "--to", "lab/tiny")
    assert done.returncode == 0, done.stderr
    files = head(hub)
    card = files["README.md"].decode()
    for part in ("tiny/default/ssd/discovered=0.5/seed=0", "tiny/default/none/seed=0",
                 "mine/default/retrain/"):  # fmt: skip
        assert part in files["index.jsonl"].decode(), part
        assert part in card, part
    assert [p for p in files if "specs/tiny" in p] and [p for p in files if "specs/mine" in p]
    assert run("registry", "check", "--specs", ".").returncode == 0


def test_with_everything_published_an_empty_store_computes_nothing(
    published: tuple[Path, HubServer], author: tuple[Run, HubServer], tmp_path: Path
) -> None:
    run, _ = author
    done = run("publish", "tiny.yaml", "--to", "lab/tiny", "--include", "evaluate,prepare,unlearn")
    assert done.returncode == 0, done.stderr
    done = run("run", "tiny.yaml", "--jobs", 1, "--store", "empty", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "19 cached, 0 to compute" in done.stderr
    assert results(tmp_path / "out") == results(published[0] / "results/tiny/default")
    done = run("publish", "tiny.yaml", "--to", "lab/tiny", "--include", "evaluat")
    assert done.returncode == 2 and "did you mean 'evaluate'" in done.stderr


def test_a_pull_request_a_branch_a_message_and_a_collection(
    author: tuple[Run, HubServer], tmp_path: Path
) -> None:
    run, hub = author
    to = ("publish", "tiny.yaml", "--to", "lab/tiny", "--only", "method=none")
    assert run(*to, "--create-pr").returncode == 5  # of a repository that is not there
    assert run(*to, "--message", "First of all", "--collection", "lab/tiny-1").returncode == 0
    assert hub.collected == [("lab/tiny-1", "lab/tiny")]
    before, repo = head(hub), hub.repos["lab/tiny"]
    done = run(*to[:-1], "method=ssd", "--create-pr", "--message", "Add SSD")
    assert done.returncode == 0, done.stderr
    assert "lab/tiny/discussions/1" in done.stdout
    assert head(hub) == before and repo.requests == ["Add SSD"]
    assert "/ssd/" in repo.commits[repo.refs["refs/pr/1"]]["index.jsonl"].decode()
    repo.refs["draft"] = repo.head
    done = run(*to[:-1], "method=retrain", "--revision", "draft")
    assert done.returncode == 0, done.stderr
    assert head(hub) == before and repo.refs["draft"] != repo.head


def test_a_licence_that_the_hub_does_not_know_is_refused(author: tuple[Run, HubServer]) -> None:
    run, hub = author
    done = run("publish", "tiny.yaml", "--to", "lab/tiny", "--license", "apache2.0")
    assert done.returncode == 2
    assert "did you mean 'apache-2.0'" in done.stderr
    assert not hub.requests


def test_a_pull_that_keeps_going_fetches_everything_else(
    other: Run, tmp_path: Path, hub: HubServer
) -> None:
    hub.flip("train-small_cnn/seed=0/tensors")
    hub.fail("HEAD", "/retrain/discovered=0.5/seed=0/record", (404, {}, ""))
    done = other("pull", "tiny.yaml")
    assert done.returncode in (4, 5)
    done = other("pull", "tiny.yaml", "--keep-going")
    assert done.returncode == 4
    assert "2 of " in done.stderr and "were not fetched" in done.stderr
    assert "fetching " in done.stdout and "bytes, from lab/tiny" in done.stdout
    assert "8 of the plan's" in other("verify", "tiny.yaml").stdout
    closed = (403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Ask for access"}, "")
    hub.fail("HEAD", "/resolve/", closed)
    hub.requests.clear()
    gated = other("pull", "tiny.yaml", "--keep-going", "--store", "new", HF_HOME=str(tmp_path))
    assert gated.returncode == 5 and "Ask for access" in gated.stderr
    asked = [path for method, path in hub.requests if method == "HEAD"]
    assert len(asked) <= 16  # those that were under way; the rest would fare no better


def test_one_ctrl_c_ends_a_download(other: Run, hub: HubServer) -> None:
    hub.fail("GET", "/cdn/", "hang")
    before = time.monotonic()
    ended = threading.Event()

    def interrupt() -> None:
        while not any("/cdn/" in path for _, path in hub.requests) and not ended.wait(0.01):
            pass
        if not ended.wait(0.3):  # by then the command waits for the answer
            os.kill(os.getpid(), signal.SIGINT)

    # Whoever starts the tests in the background of a shell starts them deaf to Ctrl-C.
    before_tests = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        done = other("pull", "tiny.yaml", HARNESS_HUB_WAIT="60")
    finally:
        ended.set()
        signal.signal(signal.SIGINT, before_tests)
    assert done.returncode == 130, done.stderr
    assert "interrupted" in done.stderr
    assert time.monotonic() - before < 15


def test_a_store_is_compared_with_what_is_published(
    published: tuple[Path, HubServer], author: tuple[Run, HubServer], tmp_path: Path
) -> None:
    run, hub = author
    shutil.copytree(published[0] / "registry", tmp_path / "registry")
    done = run("verify", "tiny.yaml", "--against-registry")
    assert done.returncode == 0, done.stderr
    assert "with the same tensors" in done.stdout
    file = tmp_path / "registry/tiny.jsonl"
    sha256 = entry_of(tmp_path, "ssd")["files"]["tensors.safetensors"]["sha256"]
    file.write_text(file.read_text().replace(sha256, "ab" * 32))
    done = run("verify", "tiny.yaml", "--against-registry")
    assert done.returncode == 1
    assert "unlearn ssd" in done.stderr and "its tensors are not those of" in done.stderr
    assert not hub.requests


def test_a_bad_file_of_another_spec_stops_nobody(other: Run, tmp_path: Path) -> None:
    (tmp_path / "registry/stranger.jsonl").write_bytes(b"[" * 50_000)
    (tmp_path / "registry/link.jsonl").symlink_to(tmp_path / "hf")
    done = other("plan", "tiny.yaml")
    assert done.returncode == 0, done.stderr
    assert "registry: 10 stages" in done.stdout
    assert "stranger.jsonl, line 1" in done.stderr


def test_registry_files_that_could_not_be_written_come_with_the_next_publish(
    author: tuple[Run, HubServer], tmp_path: Path
) -> None:
    run, hub = author
    (tmp_path / "blocked").write_text("in the way")
    done = run("publish", "tiny.yaml", "--to", "lab/tiny", "--registry", "blocked/registry")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    done = run("publish", "tiny.yaml", "--to", "lab/tiny")
    assert done.returncode == 0, done.stderr
    assert len(hub.repos["lab/tiny"].commits) == 3
    assert len(entries(tmp_path)) == 10


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
    file = tmp_path / "registry/tiny.jsonl"
    entry = entry_of(tmp_path, "train")
    again = json.dumps(entry)
    strange = json.dumps(entry | {"key": "ab" * 32})
    file.write_text(f"{file.read_text()}{again}\n{strange}\n")
    done = other("registry", "check")
    assert done.returncode == 4
    assert "two entries for one key" in done.stderr
    assert "tiny.jsonl: no train stage of" in done.stderr
    done = other("run", "tiny.yaml")
    assert done.returncode == 2
    assert "two entries for one key" in done.stderr
