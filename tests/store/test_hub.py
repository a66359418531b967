"""The Hub's faults, one by one, and attacks through the registry."""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
import yaml
from huggingface_hub import close_session, constants
from store.hub_server import TOKEN, HubServer, sha1

from harness.commands.publish.upload import write_entries
from harness.errors import HarnessError, IntegrityError, RemoteError
from harness.plan.kinds import kinds, publishable
from harness.store import Store
from harness.store import fetch as fetching
from harness.store.calls import ATTEMPTS, Conflict
from harness.store.files import StoreError, seal
from harness.store.hub import Hub
from harness.store.records import wrong_with
from harness.store.registry import (
    Entry,
    Pinned,
    RegistryError,
    find_registry,
    path_in_repo,
    read_entry,
    read_registry,
)
from harness.store.scrub import scrub

KEY = "ab" * 32
WAIT = 1.5


@pytest.fixture(autouse=True)
def plain_http(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No Xet, nobody but our server, and afterwards no hooks of ours."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    agents = tmp_path / "agents.json"  # else the library asks the real Hub for this list
    agents.write_text('{"standardEnvVars": [], "harnesses": {}}')
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(agents), raising=False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield
    close_session()


@pytest.fixture
def server() -> Iterator[HubServer]:
    with HubServer() as found:
        yield found


@pytest.fixture
def hub(server: HubServer, tmp_path: Path) -> Hub:
    return Hub(wait=WAIT, endpoint=server.endpoint, cache=tmp_path / "cache")


def fetch(entry: Entry, hub: Hub, store: Store) -> None:
    """As the commands do, who know what a record of each kind holds."""

    def check(content: Any, tensors: Any) -> str | None:
        wrong = wrong_with(content, kinds()[entry.kind].record)
        return wrong and f"its record: {wrong}"

    fetching.fetch(entry, hub, store, check)


OWN = {"kind": "train", "key": KEY}
RECORD = {
    "stage": {"uses": ["small_cnn"], "revisions": [1], "inputs": {}},
    "seconds": {"wall": 0.5, "cpu": 0.5},
    "device": "cpu",
    "threads": 1,
    "meter": {"forward": 10, "backward": 10, "steps": 1},
    "fit": {"steps": 1, "losses": [2.3], "best_step": None},
}


@pytest.fixture
def entry(server: HubServer, hub: Hub, tmp_path: Path) -> Entry:
    """A checkpoint on the Hub and its entry."""
    author = Store(tmp_path / "author")
    author.write("train", KEY, RECORD, {"w": torch.arange(5000.0)})
    names = ("record.json", "tensors.safetensors")
    contents = {name: (author.path("train", KEY) / name).read_bytes() for name in names}
    pinned = {
        name: Pinned(path_in_repo("train", KEY, name), hashlib.sha256(c).hexdigest(), len(c))
        for name, c in contents.items()
    }
    hub.create("lab/x", private=False)
    files: dict[str, Any] = {pinned[name].path: c for name, c in contents.items()}
    commit = hub.commit("lab/x", files, "first", hub.head("lab/x"))
    assert hub.files("lab/x", commit).keys() == {*files, ".gitattributes"}
    server.requests.clear()
    return Entry(
        file=tmp_path / "registry" / "x" / "train.yaml",
        key=KEY,
        kind="train",
        spec={"id": "x", "version": "1.0.0", "profile": None},
        repo="lab/x",
        commit=commit,
        record=pinned["record.json"],
        tensors=pinned["tensors.safetensors"],
        metrics={},
        provenance="cd" * 32,
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_what_was_committed_is_fetched_and_the_cache_serves_it_again(
    entry: Entry, hub: Hub, store: Store, server: HubServer, tmp_path: Path
) -> None:
    fetch(entry, hub, store)
    found = store.read("train", KEY)
    assert found.tensors is not None
    assert torch.equal(found.tensors["w"], torch.arange(5000.0))
    asked = len(server.requests)
    offline = Hub(offline=True, endpoint=server.endpoint, cache=tmp_path / "cache")
    fetch(entry, offline, Store(tmp_path / "second"))
    empty = Hub(offline=True, endpoint=server.endpoint, cache=tmp_path / "no-cache")
    with pytest.raises(RemoteError, match="offline, and not in the Hub library's cache"):
        fetch(entry, empty, Store(tmp_path / "third"))
    assert len(server.requests) == asked


PASSING = [
    ("HEAD", "record.json", (500, {}, "")),
    ("HEAD", "record.json", (429, {"Retry-After": "0"}, "")),
    ("GET", "/cdn/", (503, {}, "")),
    ("GET", "/cdn/", "reset"),
    ("GET", "/cdn/", "cut"),
    ("GET", "record.json", "cut"),
]


@pytest.mark.parametrize(("method", "part", "action"), PASSING)
def test_a_fault_that_passes_is_outlived(
    method: str, part: str, action: Any, entry: Entry, hub: Hub, store: Store, server: HubServer
) -> None:
    server.fail(method, part, action, times=1)
    fetch(entry, hub, store)
    assert store.has("train", KEY, tensors=True)


LASTING = [
    ("HEAD", "record.json", (401, {}, "{}"), "the login was refused"),
    ("HEAD", "record.json", (403, {}, "{}"), "may not do that"),
    ("HEAD", "record.json", (404, {}, "{}"), "no such repository"),
    ("HEAD", "record.json", (429, {"Retry-After": "3600"}, ""), "asks to wait 3600 s"),
    ("HEAD", "record.json", (500, {}, ""), "HTTP 500"),
    ("GET", "/cdn/", (500, {}, ""), "HTTP 500"),
    ("GET", "/cdn/", "reset", "could not be reached"),
    ("GET", "/cdn/", "cut", "could not be reached"),
    ("HEAD", "record.json", "slow", "could not be reached"),
    ("GET", "/cdn/", "slow", "could not be reached"),
]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long this thread, not the server's, asked to sleep."""
    found: list[float] = []
    sleep, mine = time.sleep, threading.get_ident()

    def noted(seconds: float) -> None:
        if threading.get_ident() == mine:
            found.append(seconds)
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", noted)
    return found


@pytest.mark.parametrize(("method", "part", "action", "said"), LASTING)
def test_a_fault_that_lasts_ends_soon_and_leaves_the_store_as_it_was(
    method: str, part: str, action: Any, said: str,
    entry: Entry, hub: Hub, store: Store, server: HubServer, pauses: list[float],
) -> None:  # fmt: skip
    server.fail(method, part, action)
    with pytest.raises(RemoteError, match=said) as caught:
        fetch(entry, hub, store)  # what is slow would answer rightly in the end
    assert sum(pauses) < 3 * WAIT
    assert max(Counter(server.requests).values()) <= ATTEMPTS
    assert entry.repo in str(caught.value)
    assert not store.folder.exists()


def test_a_hub_that_is_not_there(entry: Entry, store: Store, tmp_path: Path) -> None:
    nobody = Hub(wait=WAIT, endpoint="http://127.0.0.1:9", cache=tmp_path / "none")
    with pytest.raises(RemoteError, match="could not be reached"):
        fetch(entry, nobody, store)


def test_wrong_bytes_of_the_right_length_are_named_and_kept_aside(
    entry: Entry, hub: Hub, store: Store, server: HubServer
) -> None:
    server.fail("GET", "/cdn/", "flip", times=1)
    with pytest.raises(IntegrityError) as caught:
        fetch(entry, hub, store)
    assert entry.tensors is not None
    bad = next((store.folder / "damaged").rglob("tensors.safetensors"))
    for part in (entry.tensors.sha256, hashlib.sha256(bad.read_bytes()).hexdigest()):
        assert part in str(caught.value)
    assert str(entry.file) in str(caught.value)
    assert not store.has("train", KEY)
    fetch(entry, hub, store)  # the library's cache does not hold the bad file any more
    assert store.has("train", KEY, tensors=True)


def vouched_for(entry: Entry, server: HubServer, name: str, content: bytes) -> None:
    """``content`` on the Hub in place of a file of ``entry``, which says that it is right."""
    old: Pinned = getattr(entry, name)
    pinned = Pinned(old.path, hashlib.sha256(content).hexdigest(), len(content))
    server.repos["lab/x"].commits[entry.commit][old.path] = content
    server.blobs[pinned.sha256] = content
    object.__setattr__(entry, name, pinned)


def sealed(entry: Entry, record: object) -> bytes:
    assert entry.tensors is not None
    tensors = {"sha256": entry.tensors.sha256, "bytes": entry.tensors.bytes}
    return seal({**OWN, "record": record, "tensors": tensors})


def raw(text: str) -> bytes:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f'{{"sha256":"{digest}","content":{text}}}\n'.encode()


STRANGE: dict[str, tuple[Callable[[Entry], bytes], str]] = {
    "a seal that does not fit": (lambda _: raw("{}").replace(b"{}", b"[]"), "is damaged"),
    "a list": (lambda _: raw("[]"), "does not say whose it is"),
    "nobody's": (lambda _: seal({"record": RECORD, "tensors": None}), "does not say whose it is"),
    "another stage's": (
        lambda _: seal({**OWN, "key": "cd" * 32, "record": RECORD, "tensors": None}),
        f"it should be of train {KEY}, it is of 'train {'cd' * 32}'",
    ),
    "no JSON": (lambda _: raw("{"), "Expecting property name"),
    "too deep": (lambda _: raw('{"a":' + "[" * 10**5 + "]" * 10**5 + "}"), "recursion"),
    "no tensors": (
        lambda _: seal({**OWN, "record": RECORD, "tensors": None}),
        "not of one artifact",
    ),
    "another kind": (
        lambda _: seal({**OWN, "kind": "unlearn", "record": RECORD, "tensors": None}),
        f"it should be of train {KEY}, it is of 'unlearn {KEY}'",
    ),
    "no meter": (lambda e: sealed(e, {**RECORD, "meter": {}}), "record.meter: 'forward'"),
    "text for a number": (
        lambda e: sealed(e, {**RECORD, "seconds": {"wall": "<script>"}}),
        "record.seconds.wall: '<script>' is not of type 'number'",
    ),
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_record_that_no_harness_wrote_is_refused_though_its_hash_is_right(
    name: str, entry: Entry, hub: Hub, store: Store, server: HubServer
) -> None:
    make, words = STRANGE[name]
    vouched_for(entry, server, "record", make(entry))
    with pytest.raises(IntegrityError, match=re.escape(words)) as caught:
        fetch(entry, hub, store)
    assert str(entry.file) in str(caught.value)
    assert not store.has("train", KEY)


@pytest.mark.parametrize("content", [b"x", struct.pack("<Q", 2**60) + b"{}"])
def test_tensors_that_no_harness_wrote_are_refused_though_their_hash_is_right(
    content: bytes, entry: Entry, hub: Hub, store: Store, server: HubServer
) -> None:
    vouched_for(entry, server, "tensors", content)
    vouched_for(entry, server, "record", sealed(entry, RECORD))
    with pytest.raises(IntegrityError, match="header too") as caught:
        fetch(entry, hub, store)
    assert str(entry.file) in str(caught.value)
    assert not store.has("train", KEY)


@pytest.mark.parametrize("name", ["record", "tensors"])
def test_a_file_larger_than_its_entry_says_is_not_downloaded(
    name: str, entry: Entry, hub: Hub, store: Store, server: HubServer, tmp_path: Path
) -> None:
    said = getattr(entry, name)
    vouched_for(entry, server, name, b"x" * 10**6)
    object.__setattr__(entry, name, said)
    with pytest.raises(IntegrityError, match="it has 1,000,000 and was not fetched") as caught:
        fetch(entry, hub, store)
    assert str(entry.file) in str(caught.value)
    assert not store.has("train", KEY)
    assert not [f for f in (tmp_path / "cache").rglob("*") if f.stat().st_size > 10**5]


def test_a_full_disk_leaves_no_half_artifact(
    entry: Entry, hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        with pytest.raises(StoreError, match="no space left"):
            fetch(entry, hub, store)
    assert not store.has("train", KEY)
    assert not list((store.folder / "temporary").iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(hub, "_api", full)
        with pytest.raises(StoreError, match="Hub library's cache"):
            hub.head("lab/x")


def test_a_commit_on_top_of_an_old_one_is_a_conflict(entry: Entry, hub: Hub) -> None:
    with pytest.raises(Conflict, match="HTTP 412"):
        hub.commit("lab/x", {"a.txt": b"a"}, "late", sha1(b"first"))


def test_scrub_leaves_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "hf_" + "Ab1" * 8
    text = f"a {TOKEN} b {secret} c Bearer {'x' * 20} d https://me:{'y' * 8}@host/z e basic block"
    clean = scrub(text)
    for part in (TOKEN, secret, "x" * 20, "y" * 8):
        assert part not in clean
    assert clean.endswith("e basic block")


@pytest.fixture
def written_entry(tmp_path: Path) -> Entry:
    """An entry that nothing on the Hub stands behind."""
    return Entry(
        file=tmp_path / "registry" / "x" / "train.yaml",
        key=KEY,
        kind="train",
        spec={"id": "x", "version": "1.0.0", "profile": None},
        repo="lab/x",
        commit="a1" * 20,
        record=Pinned(path_in_repo("train", KEY, "record.json"), "ef" * 32, 10),
        tensors=Pinned(path_in_repo("train", KEY, "tensors.safetensors"), "ef" * 32, 10),
        metrics={"accuracy": 0.5, "lost": None},
        provenance="cd" * 32,
    )


def written(entry: Entry) -> dict[str, Any]:
    write_entries([entry])
    content: dict[str, Any] = yaml.safe_load(entry.file.read_text())
    return content


def test_an_entry_is_read_as_it_was_written(written_entry: Entry) -> None:
    entry = written_entry
    write_entries([entry])
    assert read_entry(entry.file, publishable()) == entry
    assert read_registry(entry.file.parents[1], publishable()) == {KEY: entry}
    assert find_registry(entry.file) == entry.file.parents[1]


def change(*path: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def act(content: dict[str, Any]) -> None:
        for name in path[:-1]:
            content = content[name]
        content[path[-1]] = to

    return act


ATTACKS = {
    "a path that leaves": change("files", "record.json", "path", to="train/../../etc/passwd"),
    "an absolute path": change("files", "record.json", "path", to="/etc/passwd"),
    "a pickle": change("files", "record.json", "path", to=f"train/{KEY}/model.pkl"),
    "a path with an address": change("files", "record.json", "path", to="https://evil.org/x"),
    "a branch": change("commit", to="main"),
    "a short commit": change("commit", to="ab12cd3"),
    "a commit with a line break": change("commit", to="a" * 40 + "\n"),
    "an address as repository": change("repo", to="https://evil.org/lab/x"),
    "a repository that climbs": change("repo", to="../x"),
    "no organisation": change("repo", to="x"),
    "an unknown key": change("endpoint", to="https://evil.org"),
    "an unknown file": change("files", "model.pkl", to={}),
    "a kind that is not published": change("kind", to="evaluate"),
    "a kind that climbs": change("kind", to="../train"),
    "a kind with a line break": change("kind", to="train\n"),
    "no tensors where the whole artifact is published": change("files", to={}),
    "another version": change("harness-registry", to=2),
    "a wrong hash": change("files", "record.json", "sha256", to="zz"),
    "a negative size": change("files", "record.json", "bytes", to=-1),
    "another spec's folder": change("spec", "id", to="y"),
    "text as metric": change("metrics", to={"accuracy": "high"}),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_entry_cannot_point_elsewhere(name: str, written_entry: Entry) -> None:
    entry = written_entry
    content = written(entry)
    ATTACKS[name](content)
    entry.file.write_text(yaml.safe_dump(content))
    with pytest.raises(RegistryError, match=r"train\.yaml"):
        read_entry(entry.file, publishable())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- 1",
        "{",
        "a: &a [x]\nb: [*a, *a]\n",
        "!!python/object/apply:os.system [true]",
        "[" * 5000,
        "a: " + "x" * 70_000,
        "\x00",
    ],
)
def test_what_is_no_entry_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "x" / "entry.yaml"
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(RegistryError, match=r"entry\.yaml"):
        read_entry(file, publishable())


def test_entries_are_written_all_or_none(written_entry: Entry, tmp_path: Path) -> None:
    entry = written_entry
    blocked = attrs.evolve(entry, file=tmp_path / "registry" / "x" / "blocked.yaml")
    blocked.file.mkdir(parents=True)
    (blocked.file / "in the way").touch()
    with pytest.raises(HarnessError, match="cannot be written"):
        write_entries([entry, blocked])
    assert [file.name for file in entry.file.parent.iterdir()] == ["blocked.yaml"]
