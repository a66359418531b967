"""Whatever happens to the files of a store, the next run ends with the same numbers."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Cli
from harness.errors import HarnessError, IntegrityError
from harness.stages import corrupt
from harness.store import Store
from harness.store.files import seal

KINDS = ("corrupt", "train", "prepare", "unlearn", "evaluate")
RECORD, TENSORS = "record.json", "tensors.safetensors"


def results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    found.pop("provenance")
    return found


@pytest.fixture(scope="session")
def undamaged(finished_once: Path) -> dict[str, Any]:
    """The results of the tiny spec."""
    return results(finished_once.parent / "results/tiny/default")


def content(record: Path) -> Any:
    return json.loads(record.read_bytes())["content"]


def records(store: Path, kind: str) -> list[Path]:
    return sorted((store / kind).rglob(RECORD))


def test_a_record_that_was_copied_over_another_is_not_believed(
    cli: Cli, tiny: Path, tmp_path: Path, finished: Path, undamaged: dict[str, Any]
) -> None:
    source, target = records(finished, "evaluate")[:2]
    shutil.copyfile(source, target)
    for command in (("store", "verify"), ("verify", tiny)):
        done = cli(*command)
        assert done.returncode == 4
        for part in (target.relative_to(tmp_path), source.parent.name, target.parent.name):
            assert str(part) in done.stderr
    done = cli("run", tiny, "--jobs", 1, "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "it is set aside and computed again" in done.stderr
    assert results(tmp_path / "out") == undamaged
    assert cli("store", "verify").returncode == 0


def test_a_store_from_before_records_were_bound_is_computed_anew_with_one_note(
    cli: Cli, tiny: Path, tmp_path: Path, finished: Path, undamaged: dict[str, Any]
) -> None:
    for file in finished.rglob(RECORD):
        file.write_bytes(seal({name: content(file)[name] for name in ("record", "tensors")}))
    done = cli("run", tiny, "--jobs", 1, "--out", "out")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("before records were bound") == 1
    assert "19 damaged artifacts are set aside" in done.stderr
    assert results(tmp_path / "out") == undamaged


@pytest.mark.parametrize("kind", KINDS)
def test_results_are_the_same_whichever_kind_of_artifact_was_lost(
    kind: str, cli: Cli, tiny: Path, tmp_path: Path, finished: Path, undamaged: dict[str, Any]
) -> None:
    before = {file.relative_to(finished) for file in finished.rglob(TENSORS)}
    shutil.rmtree(finished / kind)
    check_healed(cli, tiny, tmp_path, undamaged, damaged=0)
    assert undamaged["data"] and undamaged["pictures"]
    assert {file.relative_to(finished) for file in finished.rglob(TENSORS)} == before


def test_results_are_the_same_when_only_the_evaluations_are_left(
    cli: Cli, tiny: Path, tmp_path: Path, finished: Path, undamaged: dict[str, Any]
) -> None:
    for kind in KINDS[:-1]:
        shutil.rmtree(finished / kind)
    check_healed(cli, tiny, tmp_path, undamaged, damaged=0)


def test_for_a_report_a_record_is_enough_and_nothing_is_trained_for_its_weights(
    cli: Cli, tiny: Path, tmp_path: Path, finished: Path, undamaged: dict[str, Any]
) -> None:
    store = Store(finished)
    for kind in KINDS[:-1]:
        for file in records(finished, kind):
            store.drop_tensors(kind, file.parent.name)
    done = cli("run", tiny, "--jobs", 1, "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "19 cached, 0 to compute" in done.stderr
    assert results(tmp_path / "out") == undamaged


def test_what_cannot_be_computed_again_for_the_report_leaves_the_rest_of_it(
    cli: Cli, tiny: Path, tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise HarnessError("the data are not here")

    for kind in ("corrupt", "prepare", "unlearn"):
        shutil.rmtree(finished / kind)
    monkeypatch.setattr(corrupt, "checked", fail)
    done = cli("run", tiny, "--jobs", 1, "--out", "out")
    assert done.returncode == 1
    assert "1 stages failed, 10 were not run" in done.stdout
    found = results(tmp_path / "out")
    assert len(found["rows"]) == 8
    assert "the data are not here" in found["failed"][0]["error"]


def _other(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Puts something else in place of a file."""

    def change(file: Path) -> None:
        file.unlink()
        make(file)

    return change


def _resealed(**changes: Any) -> Callable[[Path], None]:
    return lambda file: _write(file, seal({**content(file), **changes}))


def _write(file: Path, new: bytes) -> None:
    file.write_bytes(new)


def _flipped(file: Path) -> None:
    whole = bytearray(file.read_bytes())
    whole[len(whole) // 2] ^= 1
    file.write_bytes(whole)


def _without_seconds(file: Path) -> None:
    found = content(file)
    found["record"].pop("seconds")
    file.write_bytes(seal(found))


def _text_for_numbers(file: Path) -> None:
    found = content(file)
    found["record"] = dict.fromkeys(found["record"], "many")
    file.write_bytes(seal(found))


def _not_json(file: Path) -> None:
    import hashlib

    text = b'{"kind": '
    digest = hashlib.sha256(text).hexdigest().encode()
    file.write_bytes(b'{"sha256":"' + digest + b'","content":' + text + b"}\n")


ANY_FILE: dict[str, Callable[[Path], None]] = {
    "truncated": lambda file: _write(file, file.read_bytes()[:-7]),
    "empty": lambda file: _write(file, b""),
    "gone": Path.unlink,
    "a folder": _other(Path.mkdir),
    "a named pipe": _other(os.mkfifo),
    "a link to nothing": _other(lambda file: file.symlink_to("nowhere")),
    "a link to a named pipe": _other(
        lambda file: (os.mkfifo(f"{file}~"), file.symlink_to(f"{file}~"))
    ),
}
DAMAGE: dict[str, tuple[str, Callable[[Path], None]]] = {
    **{f"record {name}": (RECORD, change) for name, change in ANY_FILE.items()},
    **{f"tensors {name}": (TENSORS, change) for name, change in ANY_FILE.items()},
    "record flipped": (RECORD, _flipped),
    "record not JSON": (RECORD, _not_json),
    "record a list": (RECORD, lambda file: _write(file, seal([]))),  # type: ignore[arg-type]
    "record without its fields": (RECORD, _resealed(record={})),
    "record without seconds": (RECORD, _without_seconds),
    "record of texts": (RECORD, _text_for_numbers),
    "record that denies its tensors": (RECORD, _resealed(tensors=None)),
    "record with tensors that are none": (RECORD, _resealed(tensors={"sha256": "?"})),
}  # fmt: skip


def damage(store: Path, kind: str, name: str) -> bool:
    """Damage the first artifact of ``kind`` that has the file; False when none has."""
    file, change = DAMAGE[name]
    found = sorted((store / kind).rglob(file))
    if found:
        change(found[0])
    return bool(found)


def check_healed(
    cli: Cli, spec: Path, folder: Path, undamaged: dict[str, Any], damaged: int = 1
) -> None:
    done = cli("run", spec, "--jobs", 1, "--out", "out", "--no-reuse")
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "Traceback" not in said
    assert said.count("set aside") <= damaged and len(said.splitlines()) < 80
    assert results(folder / "out") == undamaged
    done = cli("store", "verify")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("names", [[*DAMAGE][i : i + 4] for i in range(0, 24, 4)], ids=", ".join)
def test_damaged_artifacts_that_only_the_report_reads_are_computed_again(
    names: list[str],
    cli: Cli,
    tiny: Path,
    tmp_path: Path,
    finished: Path,
    undamaged: dict[str, Any],
) -> None:
    for kind, name in zip(KINDS, names, strict=False):
        assert damage(finished, kind, name)
    done = cli("store", "verify")
    assert done.returncode == 4
    assert f"{len(names)} damaged artifacts:" in done.stderr
    check_healed(cli, tiny, tmp_path, undamaged)


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("kind", KINDS)
def test_any_damage_to_any_kind_of_artifact_heals(
    kind: str,
    name: str,
    cli: Cli,
    tiny: Path,
    tmp_path: Path,
    finished: Path,
    undamaged: dict[str, Any],
) -> None:
    if damage(finished, kind, name):
        check_healed(cli, tiny, tmp_path, undamaged)
    shutil.rmtree(finished / "evaluate")  # so that tensors are read
    if damage(finished, kind, name):
        check_healed(cli, tiny, tmp_path, undamaged)


def test_evaluations_of_every_damage_heal_together(
    cli: Cli, tiny: Path, tmp_path: Path, finished: Path, undamaged: dict[str, Any]
) -> None:
    names = [name for name, (file, _) in DAMAGE.items() if file == RECORD]
    found = records(finished, "evaluate")
    for name, record in zip(names, found, strict=False):
        DAMAGE[name][1](record)
    check_healed(cli, tiny, tmp_path, undamaged)


@pytest.mark.parametrize("moment", ["before it is read", "after it is written"])
def test_what_is_damaged_again_and_again_fails_while_the_rest_goes_on(
    moment: str,
    cli: Cli,
    tiny: Path,
    tmp_path: Path,
    finished: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind, name = {
        "before it is read": ("unlearn", "read"),
        "after it is written": ("evaluate", "record"),
    }[moment]
    victim = records(finished, kind)[0].parent.name
    shutil.rmtree(finished / "evaluate")
    whole = getattr(Store, name)

    def broken(store: Store, kind: str, key: str) -> Any:
        if key == victim and store.has(kind, key):
            raise IntegrityError(f"{kind} {key} is damaged")
        return whole(store, kind, key)

    monkeypatch.setattr(Store, name, broken)
    done = cli("run", tiny, "--jobs", 1, "--out", "out")
    assert done.returncode == 4, done.stderr
    assert "1 stages failed, 0 were not run" in done.stdout
    assert "It was computed 2 times again: look at the disk" in done.stdout
    assert len(done.stderr.splitlines()) < 40
    assert len(results(tmp_path / "out")["rows"]) < 8
    monkeypatch.undo()
    assert cli("run", tiny, "--jobs", 1, "--out", "out").returncode == 0


def test_lost_weights_are_told_from_those_that_were_dropped(
    cli: Cli, tiny: Path, tmp_path: Path, finished: Path, undamaged: dict[str, Any]
) -> None:
    dropped = [f for f in records(finished, "unlearn") if not f.with_name(TENSORS).exists()]
    assert len(dropped) == 2
    assert cli("store", "verify").returncode == 0
    chosen = sorted((finished / "unlearn").rglob(TENSORS))[0]
    chosen.unlink()
    done = cli("store", "verify")
    assert done.returncode == 4
    assert f"{chosen.relative_to(tmp_path)} is lost" in done.stderr
    assert "1 damaged artifacts" in done.stderr
    check_healed(cli, tiny, tmp_path, undamaged)
    assert chosen.exists()
    assert not any(file.with_name(TENSORS).exists() for file in dropped)


def test_what_does_not_belong_into_a_store_is_named_and_left_alone(
    cli: Cli, tiny: Path, tmp_path: Path, finished: Path, undamaged: dict[str, Any]
) -> None:
    shelf = records(finished, "train")[0].parent.parent
    (finished / "notes.txt").write_text("precious")
    os.mkfifo(finished / "features")
    os.mkfifo(finished / "train" / "zz")
    (shelf / "old copy").mkdir()
    os.mkfifo(shelf / (shelf.name + "0" * 62))
    (shelf / ("f" * 64)).symlink_to("nowhere")
    (finished / "damaged").mkdir()
    for leftover in ("link", "pipe"):
        (finished / "damaged" / leftover).symlink_to("nowhere")
        os.utime(finished / "damaged" / leftover, (0, 0), follow_symlinks=False)
    for command in (("ls",), ("verify",), ("gc", "--keep", tiny), ("gc", "--keep", tiny)):
        done = cli("store", *command)
        assert done.returncode == 0, done.stderr
        assert "6 entries are no part of a store and are left alone: 'features'" in done.stdout
    assert not list((finished / "damaged").iterdir())
    assert cli("verify", tiny).returncode == 0
    check_healed(cli, tiny, tmp_path, undamaged, damaged=0)
    assert (finished / "notes.txt").read_text() == "precious"
