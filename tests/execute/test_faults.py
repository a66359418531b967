"""Killed, damaged, full, read-only, twice at once: nothing is lost and nothing is wrong."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from conftest import ROOT, TINY, Cli, environment
from harness.store import Store

QUICKSTART = ROOT / "specs" / "quickstart.yaml"


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "harness.cli", *arguments],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def results(folder: Path) -> str:
    found = json.loads((folder / "results.json").read_text())
    found.pop("provenance")
    return json.dumps(found)


def tensors(store: Path) -> dict[str, bytes]:
    kept = ("corrupt", "train", "prepare", "unlearn")
    return {
        str(f.relative_to(store)): f.read_bytes()
        for kind in kept
        for f in (store / kind).rglob("*.safetensors")
    }


def events(log: Path) -> int:
    return log.read_bytes().count(b"\n") if log.exists() else 0


@pytest.mark.parametrize(
    ("moments", "spec"),
    [
        pytest.param(1, "tiny.yaml", id="a moment of a small run"),
        pytest.param(
            20, str(QUICKSTART), id="twenty moments of the quickstart", marks=pytest.mark.slow
        ),
    ],
)
def test_killed_at_many_moments_a_run_ends_with_the_same_bytes(
    cli: Cli, tiny: Path, tmp_path: Path, moments: int, spec: str
) -> None:
    args = ("run", spec, "--seeds", "0")
    whole = ("--jobs", 1, "--store", "whole", "--out", "whole-out", "--json-log", "whole.jsonl")
    done = cli(*args, *whole)
    assert done.returncode == 0, done.stderr
    each = events(tmp_path / "whole.jsonl") // (moments + 1)
    draws, killed = random.Random(0), 0
    log = tmp_path / "log.jsonl"
    for _ in range(moments):
        moment = events(log) + draws.randint(1, 2 * each)
        run = start(tmp_path, *args, "--jobs", "2", "--out", "out", "--json-log", "log.jsonl")
        while run.poll() is None and events(log) < moment:
            time.sleep(0.005)
        killed += run.poll() is None
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
    assert killed >= moments / 2  # else this test shows nothing
    done = cli(*args, "--jobs", 1, "--out", "out")
    assert done.returncode == 0, done.stderr
    assert results(tmp_path / "out") == results(tmp_path / "whole-out")
    assert tensors(tmp_path / "store") == tensors(tmp_path / "whole")
    assert cli("store", "verify").returncode == 0


@pytest.mark.parametrize(
    "asked", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_training_that_was_interrupted_goes_on_and_ends_with_the_same_bytes(
    cli: Cli, tiny: Path, tmp_path: Path, asked: signal.Signals
) -> None:
    tiny.write_text(TINY.replace("steps: 30", "steps: 600"))
    args = ("run", str(tiny), "--jobs", "1", "--only", "method=none", "--only", "discovered=0.5")
    assert cli(*args, "--store", "whole", "--out", "whole-out").returncode == 0
    run = start(tmp_path, *args, "--out", "out", "--json-log", "log.jsonl")
    assert run.stderr is not None
    log = tmp_path / "log.jsonl"
    while run.poll() is None and '"step"' not in (log.read_text() if log.exists() else ""):
        time.sleep(0.005)
    os.kill(run.pid, asked)
    _, said = run.communicate(timeout=300)
    assert run.returncode == 130, said
    assert "Run the same command to go on" in said
    assert list((tmp_path / "store" / "partial").rglob("*.bin")), "no state was saved"
    assert cli(*args, "--out", "out").returncode == 0
    assert results(tmp_path / "out") == results(tmp_path / "whole-out")
    assert tensors(tmp_path / "store") == tensors(tmp_path / "whole")
    assert not list((tmp_path / "store" / "partial").rglob("*.bin"))


@pytest.mark.parametrize(
    ("kind", "how"),
    [(kind, "flipped") for kind in ("train", "corrupt", "prepare", "evaluate")]
    + [("train", "truncated"), ("evaluate", "truncated")],
)
def test_a_damaged_artifact_is_named_and_computed_again(
    how: str, kind: str, cli: Cli, tiny: Path, tmp_path: Path, finished: Path
) -> None:
    name = "record.json" if kind == "evaluate" else "tensors.safetensors"
    file = sorted((tmp_path / "store" / kind).rglob(name))[0]
    content = bytearray(file.read_bytes())
    if how == "flipped":
        content[len(content) // 2] ^= 1
    file.write_bytes(content if how == "flipped" else content[:-7])
    found = cli("store", "verify")
    assert found.returncode == 4
    assert str(file.relative_to(tmp_path)) in found.stderr
    # A new metric makes the damaged input be read.
    tiny.write_text(TINY.replace("metrics: [", "metrics: [healed, "))
    if kind == "evaluate":
        tiny.write_text(TINY)
    done = cli("run", tiny, "--jobs", 1, "--out", "after")
    assert done.returncode == 0, done.stderr + done.stdout
    if kind != "prepare":  # no stage that is left reads the importances
        assert "is damaged" in done.stderr
        assert cli("store", "verify").returncode == 0


@pytest.mark.parametrize(
    ("kind", "tensor", "change"),
    [
        ("corrupt", "rows", lambda rows: rows + 10**9),
        ("corrupt", "targets", lambda labels: labels - 11),
        ("corrupt", "train_rows", lambda rows: rows[None]),
        ("corrupt", "validation_rows", lambda rows: rows.float()),
        ("corrupt", "inputs", lambda images: images[:, :, 1:]),
        ("train", "0.weight", lambda weight: weight.double()),
    ],
)
def test_tensors_of_other_data_or_another_model_are_computed_again_though_their_hash_is_right(
    kind: str,
    tensor: str,
    change: Callable[[torch.Tensor], torch.Tensor],
    cli: Cli,
    tiny: Path,
    tmp_path: Path,
    finished: Path,
) -> None:
    if tensor == "inputs":  # only a trigger before augmentation stores images
        tiny.write_text(TINY.replace("name: badnet", "name: badnet, when: before_augmentation"))
        shutil.rmtree(finished)
        assert cli("run", tiny, "--jobs", 1, "--out", "before").returncode == 0
    store = Store(tmp_path / "store")
    (folder,) = (tmp_path / "store" / kind).glob("*/*")
    found = store.read(kind, folder.name)
    assert found.tensors is not None
    strange = {**found.tensors, tensor: change(found.tensors[tensor])}
    shutil.rmtree(folder)
    shutil.rmtree(tmp_path / "store" / "evaluate")
    store.write(kind, folder.name, found.record, strange)
    done = cli("run", tiny, "--jobs", 1, "--out", "after")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "fit" in done.stderr and tensor.removesuffix("s") in done.stderr
    assert done.stderr.count("it is set aside and computed again") == 1
    tensors = store.read(kind, folder.name).tensors
    assert tensors is not None
    assert torch.equal(tensors[tensor], found.tensors[tensor])


@pytest.mark.slow
def test_two_runs_at_once_compute_each_stage_once(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    runs = [
        start(
            tmp_path, "run", str(tiny), "--jobs", "1", "--out", name, "--json-log", f"{name}.jsonl"
        )
        for name in ("a", "b")
    ]
    for run in runs:
        _, said = run.communicate(timeout=300)
        assert run.returncode == 0, said
    assert results(tmp_path / "a") == results(tmp_path / "b")
    computed = []
    for name in ("a", "b"):
        for line in (tmp_path / f"{name}.jsonl").read_text().splitlines():
            event = json.loads(line)
            if event["event"] == "finished":
                computed.append(event["key"])
    assert len(computed) == len(set(computed)) == 19


def mounted(folder: Path, options: str) -> bool:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path):  # type: ignore[no-untyped-def]
    folder = tmp_path / "disk"
    if not mounted(folder, "size=600k"):
        pytest.skip("no right to mount a small disk here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_said_and_leaves_the_store_whole(
    cli: Cli, tiny: Path, small_disk: Path
) -> None:
    tiny.write_text(TINY.replace("widths: [8, 16]", "widths: [64, 128]"))
    store = small_disk / "store"
    done = cli("run", tiny, "--jobs", 1, "--store", store)
    assert done.returncode == 1
    assert "no space left for the store" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout
    assert cli("store", "verify", "--store", store).returncode == 0
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    assert cli("run", tiny, "--jobs", 1, "--store", store).returncode == 0


def test_a_read_only_store_is_said(cli: Cli, tiny: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = cli("run", tiny, "--jobs", 1, "--store", small_disk / "store")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout


def test_a_read_only_store_that_has_everything_still_gives_a_report(
    cli: Cli, tiny: Path, small_disk: Path, tmp_path: Path
) -> None:
    store = small_disk / "store"
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    cli("run", tiny, "--jobs", 1, "--store", store)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = cli("run", tiny, "--store", store, "--out", "out")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "report.html").exists()


def test_a_folder_that_is_no_store_is_left_alone(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("precious")
    done = cli("run", tiny, "--store", "home")
    assert done.returncode == 1
    assert "is not a store: it holds 'thesis.txt'" in done.stderr


def test_gc_removes_what_no_kept_spec_needs(cli: Cli, tiny: Path, finished: Path) -> None:
    assert "0 artifacts removed" in cli("store", "gc", "--keep", tiny).stdout
    tiny.write_text(TINY.replace("  - retrain\n", ""))
    assert "4 artifacts would be removed" in cli("store", "gc", "--keep", tiny, "--dry-run").stdout
    assert "4 artifacts removed" in cli("store", "gc", "--keep", tiny).stdout
    assert cli("store", "gc").returncode == 2, "nothing is removed that nobody named"
    assert cli("store", "gc", "--keep", tiny, "--all").returncode == 2
    assert "15 artifacts" in cli("store", "ls").stdout
