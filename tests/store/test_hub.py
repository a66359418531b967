"""The Hub's faults, one by one, and attacks through the registry."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import socket
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
from huggingface_hub import close_session, constants
from store.hub_server import SIGNATURE, TOKEN, HubServer, sha1

from harness.commands.publish.upload import upload
from harness.errors import IntegrityError, RemoteError
from harness.plan.kinds import kinds
from harness.store import Store
from harness.store import fetch as fetching
from harness.store.answers import Conflict
from harness.store.calls import ATTEMPTS
from harness.store.files import StoreError, seal
from harness.store.hub import Hub
from harness.store.records import wrong_with
from harness.store.registry import (
    Entry,
    Pinned,
    RegistryError,
    find_registry,
    read_registry,
    scan,
    write_entries,
)
from harness.store.scrub import one_line, scrub

KEY = "ab" * 32
PLACE = "x/default/train/seed=0"
WAIT = 1.5


@pytest.fixture(autouse=True)
def plain_http(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Nobody but our server, and afterwards no hooks of ours."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
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
        name: Pinned(f"{PLACE}/{name}", hashlib.sha256(c).hexdigest(), len(c))
        for name, c in contents.items()
    }
    hub.create("lab/x", private=False)
    files: dict[str, Any] = {pinned[name].path: c for name, c in contents.items()}
    commit = hub.commit("lab/x", files, "first", parent=hub.head("lab/x"))
    assert hub.files("lab/x", commit).keys() == {*files, ".gitattributes"}
    server.requests.clear()
    return attrs.evolve(written(tmp_path), commit=commit, files=pinned)


def written(folder: Path) -> Entry:
    """An entry that nothing on the Hub stands behind."""
    return Entry(
        file=folder / "registry" / "x.jsonl",
        key=KEY,
        kind="train",
        path=PLACE,
        repo="lab/x",
        commit="a1" * 20,
        files={
            n: Pinned(f"{PLACE}/{n}", "ef" * 32, 10) for n in ("record.json", "tensors.safetensors")
        },
        spec={"id": "x", "version": "1.0.0", "profile": None, "digest": "12" * 32},
        method="train",
        cell={"share": 0.5},
        seed=0,
        metrics={"accuracy": 0.5, "lost": None},
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
    file = {"record": "record.json", "tensors": "tensors.safetensors"}[name]
    old = entry.files[file]
    pinned = Pinned(old.path, hashlib.sha256(content).hexdigest(), len(content))
    server.repos["lab/x"].commits[entry.commit][old.path] = content
    server.blobs[pinned.sha256] = content
    object.__setattr__(entry, "files", {**entry.files, file: pinned})


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
    said = entry.files
    vouched_for(entry, server, name, b"x" * 10**6)
    object.__setattr__(entry, "files", said)
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
        hub.commit("lab/x", {"a.txt": b"a"}, "late", parent=sha1(b"first"))


def test_scrub_leaves_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "hf_" + "Ab1" * 8
    text = f"a {TOKEN} b {secret} c Bearer {'x' * 20} d https://me:{'y' * 8}@host/z e basic block"
    clean = scrub(text)
    for part in (TOKEN, secret, "x" * 20, "y" * 8):
        assert part not in clean
    assert clean.endswith("e basic block")


def test_entries_are_read_as_they_were_written_and_join_those_that_are_there(
    tmp_path: Path,
) -> None:
    entry = written(tmp_path)
    later = attrs.evolve(entry, key="cd" * 32, metrics={})
    for one in (entry, later):
        write_entries(entry.file, [one], kinds())
    found = {KEY: entry, later.key: later}
    assert read_registry(entry.file.parent, kinds(), "x", pytest.fail) == found
    assert read_registry(entry.file.parent, kinds(), "x", pytest.fail, {KEY}) == {KEY: entry}
    assert find_registry(entry.file) == entry.file.parent


def change(*path: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def act(content: dict[str, Any]) -> None:
        for name in path[:-1]:
            content = content[name]
        content[path[-1]] = to

    return act


ATTACKS = {
    "a path that leaves": change("path", to="x/../../etc"),
    "an absolute path": change("path", to="/etc"),
    "a hidden path": change("path", to="x/.git"),
    "a path with an address": change("path", to="https://evil.org/x"),
    "a path with a line break": change("path", to="x\n"),
    "a branch": change("commit", to="main"),
    "a short commit": change("commit", to="ab12cd3"),
    "a commit with a line break": change("commit", to="a" * 40 + "\n"),
    "an address as repository": change("repo", to="https://evil.org/lab/x"),
    "a repository that climbs": change("repo", to="../x"),
    "no organisation": change("repo", to="x"),
    "an unknown key": change("endpoint", to="https://evil.org"),
    "an unknown file": change("files", "model.pkl", to={}),
    "a kind that is none": change("kind", to="pickle"),
    "a kind that climbs": change("kind", to="../train"),
    "a kind with a line break": change("kind", to="train\n"),
    "no files": change("files", to={}),
    "a wrong hash": change("files", "record.json", "sha256", to="zz"),
    "a negative size": change("files", "record.json", "bytes", to=-1),
    "another spec's folder": change("spec", "id", to="y"),
    "text as metric": change("metrics", to={"accuracy": "high"}),
    "a list as metric": change("metrics", to={"accuracy": []}),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_entry_cannot_point_elsewhere(name: str, tmp_path: Path) -> None:
    entry = written(tmp_path)
    content = json.loads(entry.line())
    ATTACKS[name](content)
    entry.file.parent.mkdir()
    entry.file.write_text(json.dumps(content))
    with pytest.raises(RegistryError, match=r"x\.jsonl"):
        read_registry(entry.file.parent, kinds(), "x", pytest.fail)


SECRET = "hf_TopSecretTopSecret"  # noqa: S105 (opens nothing)
NO_ENTRIES = {
    "a list": b"- 1",
    "half an object": b"{",
    "depth": b"[" * 50_000,
    "depth of objects": b'{"a":' * 10_000,
    "a long line": b'"' + b"x" * 70_000 + b'"',
    "nothing of JSON": b"\x00\xff",
    "a secret": f'{{"key": "{SECRET}"}}\n{SECRET}'.encode(),
    "a secret where a number is needed": b'{"metrics": {"%s": "%s"}}' % ((SECRET.encode(),) * 2),
}


@pytest.mark.parametrize("name", NO_ENTRIES)
def test_what_is_no_entry_is_named_without_its_words_and_the_others_are_read(
    name: str, tmp_path: Path
) -> None:
    entry = written(tmp_path)
    write_entries(entry.file, [entry], kinds())
    stranger = entry.file.with_name("stranger.jsonl")
    stranger.write_bytes(NO_ENTRIES[name])
    said: list[str] = []
    found = read_registry(entry.file.parent, kinds(), "x", said.append)
    assert list(found) == [KEY]
    assert len(said) == 1 and "stranger.jsonl" in said[0]
    assert SECRET not in said[0] and len(said[0]) < 300
    with pytest.raises(RegistryError, match=r"stranger\.jsonl"):
        read_registry(entry.file.parent, kinds(), "stranger", said.append)


def test_only_regular_files_of_the_registry_are_opened(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text(SECRET)
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry/link.jsonl").symlink_to(secret)
    os.mkfifo(tmp_path / "registry/pipe.jsonl")  # which would wait for ever
    (tmp_path / "registry/folder.jsonl").mkdir()
    found, problems = scan(tmp_path / "registry", kinds())
    assert not found
    assert set(problems) == {"link", "pipe", "folder"}
    assert "regular file" in problems["link"][0] and "regular file" in problems["pipe"][0]
    assert SECRET not in str(problems)


@pytest.mark.slow
def test_five_thousand_files_are_published_in_commits_that_the_hub_takes(
    server: HubServer, hub: Hub
) -> None:
    files = {f"x/{n}.{'safetensors' if n % 12 == 0 else 'json'}": b"%d" % n for n in range(5000)}
    hub.create("lab/x", private=False)
    server.fail("POST", "/lfs/verify", (500, {}, ""), times=3)
    server.fail("POST", "/preupload/", (503, {}, ""), times=2)
    server.fail("POST", "/commit/", (503, {}, ""), times=2)
    for fault, skip in zip(server.faults, (100, 5, 9), strict=True):
        fault.skip = skip
    head = hub.head("lab/x")
    commit = upload(hub, "lab/x", files, {"index.jsonl": b"{}"}, "all", head,
                    hub.files("lab/x", head))  # fmt: skip
    repo = server.repos["lab/x"]
    assert {p: c for p, c in repo.commits[commit].items() if p in files} == files
    assert len(repo.commits) == 21
    assert [n for n, c in enumerate(repo.commits.values()) if "index.jsonl" in c] == [20]
    done = len(server.requests)
    assert upload(hub, "lab/x", files, {"index.jsonl": b"{}"}, "again", commit,
                  hub.files("lab/x", commit)) == commit  # fmt: skip
    assert len(server.requests) == done + 1


def test_a_large_file_that_comes_a_byte_at_a_time_is_given_up(
    entry: Entry, hub: Hub, store: Store, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_HUB_RATE", "2000")
    server.fail("GET", "/cdn/", "drip")
    soon = Hub(wait=0.4, endpoint=server.endpoint, cache=hub.cache)
    begun = time.monotonic()
    with pytest.raises(RemoteError, match="sends less than 2,000 bytes a second"):
        fetch(entry, soon, store)
    assert time.monotonic() - begun < 5  # it would take a quarter of an hour
    assert not store.folder.exists()
    server.faults.clear()
    server.fail("GET", "/tree/", "drip")
    with pytest.raises(RemoteError, match="less than 2,000 bytes"):
        soon.files("lab/x", entry.commit)


def test_a_content_store_that_hangs_is_not_waited_for(
    entry: Entry, hub: Hub, store: Store, server: HubServer
) -> None:
    server.xet = True  # whose address never answers
    fetch(entry, hub, store)
    assert store.has("train", KEY, tensors=True)
    server.fail("GET", "/cdn/", "hang")
    soon = Hub(wait=0.3, endpoint=server.endpoint, cache=store.folder.parent / "other")
    with pytest.raises(RemoteError, match="could not be reached"):
        fetch(entry, soon, Store(store.folder.parent / "second"))


REFUSALS: list[tuple[str, str, Any, str]] = [
    ("HEAD", "record.json",
     (403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to model lab/x is restricted"},
      ""), "the repository is gated: .*; it says: Access to model lab/x is restricted"),
    ("GET", "/cdn/", (403, {}, "<Error><Message>Request has expired</Message></Error>"),
     "has expired; try again; it says: Request has expired"),
    ("HEAD", "record.json", (404, {"X-Error-Message": "Invalid rev id"}, ""), "Invalid rev id"),
    ("HEAD", "record.json", (401, {"X-Error-Message": "Invalid credentials in Authorization header"},
                             ""), "Invalid credentials"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "part", "action", "said"), REFUSALS)
def test_a_refusal_comes_in_the_hubs_own_words_and_is_asked_for_once(
    method: str, part: str, action: Any, said: str,
    entry: Entry, hub: Hub, store: Store, server: HubServer,
) -> None:  # fmt: skip
    server.fail(method, part, action)
    with pytest.raises(RemoteError, match=said) as caught:
        fetch(entry, hub, store)
    assert SIGNATURE[:8] not in str(caught.value)
    assert max(Counter(server.requests).values()) == 1


def test_no_rights_in_a_namespace_is_said_as_the_hub_says_it(hub: Hub, server: HubServer) -> None:
    words = json.dumps({"error": 'You don\'t have the rights to create a model under "lab"'})
    server.fail("POST", "/repos/create", (403, {}, words))
    with pytest.raises(RemoteError, match="rights to create a model under"):
        hub.create("lab/x", private=False)
    assert max(Counter(server.requests).values()) == 1


def test_a_host_that_is_not_there_is_looked_for_once(
    entry: Entry, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def nowhere(host: str, *_: object, **__: object) -> None:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    hub = Hub(wait=WAIT, endpoint="https://hub.invalid", cache=tmp_path / "none")
    with pytest.raises(RemoteError, match=r"no such host: hub\.invalid"):
        fetch(entry, hub, store)
    assert asked == ["hub.invalid"]


@pytest.mark.parametrize(
    "text",
    [
        f"for https://cdn.org/a/b?X-Amz-Signature={SIGNATURE}&x=1",
        f"for /a/b?sig={SIGNATURE}",
        f"should be of size 5 but has 3 ((…)ab{SIGNATURE}).",
        f"…ion=x&X-Amz-Signature={SIGNATURE}",
        f"Signature={SIGNATURE}",
    ],
)
def test_no_query_of_an_address_is_shown_shortened_or_not(text: str) -> None:
    assert SIGNATURE[:6] not in one_line(text)
    assert one_line("is it there? (x = 3)") == "is it there? (x = 3)"
