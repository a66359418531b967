"""The local store: whole or not there, and read only as it was written."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import ROOT
from harness.errors import HarnessError, IntegrityError
from harness.store import Store, gc, listing, verify
from harness.store.files import StoreError

KEY = "ab" * 32
OTHER = "cd" * 32

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
arrays = st.tuples(
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from([torch.float32, torch.int64, torch.uint8, torch.bool, torch.bfloat16]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.dictionaries(st.text(max_size=5), values, max_size=3), st.lists(arrays, max_size=3))
def test_what_is_written_is_read(tmp_path: Path, record: dict, shapes: list) -> None:
    tensors = {f"t{i}": torch.ones(shape).to(kind) for i, (shape, kind) in enumerate(shapes)}
    key = hashlib.sha256(repr((record, shapes)).encode()).hexdigest()
    store = Store(tmp_path / "store")
    store.write("train", key, record, tensors)
    found = store.read("train", key)
    assert found.record == record == store.record("train", key)
    assert found.tensors is not None
    assert found.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path / "store")
    found.write("train", KEY, {"a": 1}, {"w": torch.arange(6.0)})
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.sampled_from(["record.json", "tensors.safetensors"]),
    st.integers(0, 10**6),
    st.integers(0, 7),
)
def test_any_flipped_bit_is_found(tmp_path: Path, name: str, position: int, bit: int) -> None:
    store = Store(tmp_path / "store")
    if not store.has("train", KEY):
        store.write("train", KEY, {"a": 1}, {"w": torch.arange(6.0)})
    file = store.path("train", KEY) / name
    whole = file.read_bytes()
    broken = bytearray(whole)
    broken[position % len(broken)] ^= 1 << bit
    file.write_bytes(broken)
    try:
        with pytest.raises(IntegrityError, match=name):
            store.read("train", KEY)
    finally:
        file.write_bytes(whole)


def test_the_error_names_the_file_and_both_hashes(store: Store) -> None:
    file = store.path("train", KEY) / "tensors.safetensors"
    expected = hashlib.sha256(file.read_bytes()).hexdigest()
    file.write_bytes(file.read_bytes()[:-1])
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(IntegrityError, match=f"{file}.*{expected}.*{found}"):
        store.read("train", KEY)
    assert verify(store) == [str(e) for e in [_error(store)]]


def _error(store: Store) -> IntegrityError:
    with pytest.raises(IntegrityError) as caught:
        store.read("train", KEY)
    return caught.value


def test_the_first_writer_of_an_artifact_wins(store: Store) -> None:
    store.write("train", KEY, {"a": 2}, {"w": torch.zeros(1)})
    assert store.record("train", KEY) == {"a": 1}


def test_dropped_weights_leave_the_record_and_can_be_written_again(store: Store) -> None:
    store.drop_tensors("train", KEY)
    assert store.has("train", KEY)
    assert not store.has("train", KEY, tensors=True)
    assert store.read("train", KEY).tensors is None
    assert verify(store) == []
    store.drop_tensors("train", KEY)
    store.write("train", KEY, {"a": 1}, {"w": torch.arange(6.0)})
    assert store.has("train", KEY, tensors=True)


def test_a_drop_that_was_cut_off_loses_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "unlink", cut_off)
    with pytest.raises(KeyboardInterrupt):
        store.drop_tensors("train", KEY)
    monkeypatch.undo()
    found = store.read("train", KEY).tensors
    assert found is not None and torch.equal(found["w"], torch.arange(6.0))
    assert verify(store) == []
    store.drop_tensors("train", KEY)
    assert store.read("train", KEY).tensors is None


def test_a_record_and_a_saved_state_are_only_taken_from_their_own_stage(store: Store) -> None:
    store.write("train", OTHER, {"a": 2}, {"w": torch.arange(6.0)})
    place, other = store.path("train", KEY), store.path("train", OTHER)
    shutil.copytree(place, other, dirs_exist_ok=True)
    with pytest.raises(
        IntegrityError, match=f"it should be of train {OTHER}, it is of 'train {KEY}'"
    ):
        store.read("train", OTHER)
    own, its = (store.slot("train", key, 0) for key in (KEY, OTHER))
    own.save({}, {"step": 1})
    shutil.copytree(own.folder, its.folder)
    assert own.load() is not None
    assert its.load() is None


def test_what_is_set_aside_is_kept_and_can_be_computed_again(store: Store) -> None:
    aside = store.set_aside("train", KEY)
    assert not store.has("train", KEY)
    assert (aside / "artifact" / "tensors.safetensors").exists()


def test_an_address_that_escapes_is_refused(store: Store) -> None:
    for kind, key in (("train", "../" * 20 + "etc"), ("../..", KEY), ("train", KEY[:-1])):
        with pytest.raises(HarnessError, match="not the address"):
            store.has(kind, key)


def test_a_store_that_another_process_is_just_creating_is_a_store(tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    (tmp_path / ".new-store.json-0").touch()
    assert not Store(tmp_path).has("train", KEY)
    (tmp_path / "other").touch()
    with pytest.raises(HarnessError, match="is not a store: it holds 'other'"):
        Store(tmp_path)


def test_looking_does_not_create_a_store(tmp_path: Path) -> None:
    store = Store(tmp_path / "none")
    assert not store.has("train", KEY)
    assert listing(store) == [] == verify(store)


def test_a_kind_is_a_name_that_the_store_does_not_know(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.write("distill", KEY, {"a": 1}, None)
    (store.folder / "notes" / "ab").mkdir(parents=True)
    assert [(found.kind, found.key) for found in listing(store)] == [("distill", KEY)]
    assert store.record("distill", KEY) == {"a": 1}
    for kind in ("locks", "partial", "damaged", "temporary", "Train", "two words", ""):
        with pytest.raises(HarnessError, match="not the address of an artifact"):
            store.path(kind, KEY)
    (store.folder / "store.json").unlink()
    with pytest.raises(HarnessError, match="is not a store: it holds 'notes'"):
        (store.folder / "notes" / "thesis.txt").touch()
        Store(store.folder)
    assert not (tmp_path / "none").exists()


def test_a_lock_is_exclusive_and_ends_with_the_process(store: Store) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom harness.store import Store\n"
        f"with Store(Path({str(store.folder)!r})).lock('train', {OTHER!r}):\n"
        "    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    assert store.lock("train", OTHER) is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    lock = store.lock("train", OTHER)
    assert lock is not None
    with lock:
        pass


def _write_many(folder: str, number: int) -> None:
    store = Store(Path(folder))
    for i in range(30):
        key = f"{i:064x}"
        store.write("train", key, {"i": i}, {"w": torch.full((50,), float(i))})


def test_many_writers_of_the_same_artifacts_leave_them_whole(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_write_many, args=(str(tmp_path / "store"), n)) for n in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    store = Store(tmp_path / "store")
    assert len(listing(store)) == 30
    assert verify(store) == []
    assert list((tmp_path / "store" / "temporary").iterdir()) == []


@pytest.mark.parametrize("number", [28, 122])
def test_no_room_is_said_and_leaves_nothing_half_written(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StoreError, match="no space left.*harness store gc"):
        store.write("train", OTHER, {}, {"w": torch.zeros(3)})
    monkeypatch.undo()
    assert not store.has("train", OTHER)
    assert list((store.folder / "temporary").iterdir()) == []
    assert verify(store) == []


def test_slots_keep_tensors_and_state_and_forget_damage(store: Store) -> None:
    slot = store.slot("train", OTHER, every_seconds=0)
    assert slot.load() is None
    assert slot.due()
    slot.save({"w": torch.ones(2)}, {"step": 3, "loss": 0.1})
    loaded = store.slot("train", OTHER, 9).load()
    assert loaded is not None
    assert torch.equal(loaded[0]["w"], torch.ones(2))
    assert loaded[1] == {"step": 3, "loss": 0.1}
    content = bytearray(slot.file.read_bytes())
    content[len(content) // 2] ^= 1
    slot.file.write_bytes(content)
    assert slot.load() is None
    slot.clear()
    assert not slot.folder.exists()


def test_gc_keeps_what_is_named_and_what_another_process_computes(store: Store) -> None:
    for key in (OTHER, "ef" * 32):
        store.write("train", key, {}, None)
    lock = store.lock("train", OTHER)
    assert lock is not None
    with lock:
        code = (
            "from pathlib import Path\nfrom harness.store import Store, gc\n"
            f"print(len(gc(Store(Path({str(store.folder)!r})), {{('train', {KEY!r})}})))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
        )
    assert done.stdout == "1\n"
    assert {row.key for row in listing(store)} == {KEY, OTHER}
    assert len(gc(store, set(), dry_run=True)) == 2
