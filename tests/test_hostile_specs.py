"""Specs from strangers: none names code, reads other files, reaches another host or runs on."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from conftest import TINY, Cli
from harness.components import get
from harness.errors import HarnessError
from harness.spec.structure import structure_use

FORGET = "forget: {set: corrupted, discovered: {sweep: [1.0, 0.5]}}"
DATASET = "{dataset: digits, train_samples: 300, test_samples: 100, validation: 0.1}"
MODEL = "{name: small_cnn, widths: [8, 16]}"
SECRET = "hunter2"  # noqa: S105

# Loaded by every Python of a test: notes each attempt to reach another host, and refuses it.
NO_NETWORK = """\
import socket
def refuse(self, address, *rest):
    if self.family in (socket.AF_INET, socket.AF_INET6):
        open({log!r}, "a").write(repr(address))
        raise OSError("no network in this test")
    return real(self, address, *rest)
def lookup(host, *rest, **more):
    open({log!r}, "a").write(repr(host))
    raise OSError("no network in this test")
real, socket.socket.connect, socket.getaddrinfo = socket.socket.connect, refuse, lookup
"""


def spec(folder: Path, *swaps: tuple[str, str]) -> Path:
    text = TINY
    for old, new in swaps:
        assert old in text
        text = text.replace(old, new)
    file = folder / "hostile.yaml"
    file.write_text(text)
    return file


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert "Traceback" not in said
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    "swap",
    [
        ("- none\n", "- {name: os.system, command: touch pwned}\n"),
        ("- none\n", "- {name: hostile.evil}\n"),
        ("- none\n", "- !!python/object/apply:os.system [touch pwned]\n"),
        ("seeds: [0]", "seeds: !!python/name:os.getcwd"),
        (MODEL, "{name: small_cnn, _target_: os.system, widths: [8]}"),
        (MODEL, "{name: ../../hostile}"),
        ("maximize: \"mean(", "maximize: \"__import__('os').system('touch pwned') + mean("),
        ("maximize: \"mean(", "maximize: \"open('pwned', 'w') or mean("),
        ("maximize: \"mean(", "maximize: \"().__class__.__base__.__subclasses__() + mean("),
        ("id: tiny", "id: ../../tiny"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["validate", "run"])
def test_a_spec_cannot_name_code(
    cli: Cli, tmp_path: Path, command: str, swap: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hostile.py").write_text("open('pwned', 'w')\ndef evil(*a): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    refused(cli(command, spec(tmp_path, swap)), 2, "hostile.yaml")
    assert not (tmp_path / "pwned").exists()
    assert not (tmp_path / "store").exists()


def _with(folder: Path) -> str:
    """The tests' search path with ``folder`` first."""
    from conftest import ROOT

    return f"{folder}:{ROOT}"


@pytest.mark.parametrize("how", ["parent", "absolute", "symlink", "folder link"])
@pytest.mark.parametrize("kind", ["indices", "group"])
def test_a_spec_cannot_read_outside_its_data_root(
    cli: Cli, tmp_path: Path, how: str, kind: str
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    (root / "link.txt").symlink_to(secret)
    (root / "up").symlink_to(tmp_path)
    file = {
        "parent": "../secret.txt",
        "absolute": str(secret),
        "symlink": "link.txt",
        "folder link": "up/secret.txt",
    }[how]
    forget = f"forget: {{set: {kind}, file: '{file}'{', groups: [1]' if kind == 'group' else ''}}}"
    args = ("--jobs", 1, "--data-root", "root", "--only", "method=ssd", "--profile", "smoke")
    done = cli("run", spec(tmp_path, (FORGET, forget)), *args)
    refused(done, 1, "leaves the data root")
    assert SECRET not in done.stdout + done.stderr
    for report in (tmp_path / "results").rglob("*.*"):
        assert SECRET.encode() not in report.read_bytes()


@pytest.mark.parametrize("folder", ["../pictures", "{tmp}/pictures", "link"])
def test_a_data_set_cannot_lie_outside_the_data_root(cli: Cli, tmp_path: Path, folder: str) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "pictures")
    data = f"{{dataset: {{name: image_folder, folder: '{folder.format(tmp=tmp_path)}', size: 8}}}}"
    file = spec(tmp_path, (DATASET, data))
    done = cli("run", file, "--jobs", 1, "--data-root", "root")
    refused(done, 1, "leaves the data root")


def test_a_spec_cannot_extend_a_file_elsewhere(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "secret.yaml").write_text(f"password: {SECRET}\n")
    (tmp_path / "specs" / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    for target in ("../secret.yaml", str(tmp_path / "secret.yaml"), "link.yaml"):
        (tmp_path / "specs" / "a.yaml").write_text(f"extends: {target}\n")
        done = cli("diff", "specs/a.yaml", "specs/a.yaml")
        refused(done, 2, "leaves the spec folder")
        assert SECRET not in done.stderr


@pytest.mark.parametrize(
    ("name", "jobs"),
    [
        ("cifar10", 1),
        pytest.param("cifar100", 1, marks=pytest.mark.slow),
        pytest.param("mnist", 1, marks=pytest.mark.slow),
        pytest.param("imagenette", 2, marks=pytest.mark.slow),
    ],
)
def test_offline_no_data_set_reaches_another_host(
    process: Cli, tmp_path: Path, name: str, jobs: int
) -> None:
    found = _offline(process, tmp_path, jobs, (DATASET, f"{{dataset: {name}, validation: 0.1}}"))
    refused(found, 5, "--offline")


needs_timm = pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")


@needs_timm
@pytest.mark.slow  # a process that imports timm
def test_offline_no_model_reaches_another_host(process: Cli, tmp_path: Path) -> None:
    model = "{name: timm, arch: resnet18.a1_in1k, pretrained: true}"
    refused(_offline(process, tmp_path, 1, (MODEL, model)), 5, "are not here")


@needs_timm
def test_weights_outside_the_hub_are_refused() -> None:
    """No switch keeps timm from loading them, so --offline would not hold."""
    use = structure_use("models", {"name": "timm", "arch": "gcvit_tiny.in1k", "pretrained": True})
    with pytest.raises(HarnessError, match="no weights"):
        get("models", "timm").function(use.settings, (3, 224, 224), 10)


def _offline(
    process: Cli, folder: Path, jobs: int, swap: tuple[str, str]
) -> subprocess.CompletedProcess[str]:
    """An --offline run in which every attempt to reach another host is noted: there is none."""
    log = folder / "reached.txt"
    (folder / "sitecustomize.py").write_text(NO_NETWORK.format(log=str(log)))
    done = process(
        "run", spec(folder, swap), "--offline", "--jobs", jobs, "--data-root", folder,
        HF_HUB_OFFLINE="0", PYTHONPATH=_with(folder), HF_HOME=str(folder / "hf"),
    )  # fmt: skip
    assert not log.exists(), log.read_text()
    return done


def test_the_note_of_attempts_works(tmp_path: Path) -> None:
    log = tmp_path / "reached.txt"
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK.format(log=str(log)))
    code = "import urllib.request; urllib.request.urlopen('http://example.org')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(tmp_path)}, capture_output=True
    )
    assert done.returncode
    assert "example.org" in log.read_text()


def test_the_runner_limits_time_whatever_the_spec_says(process: Cli, tmp_path: Path) -> None:
    generous = ("seeds: [0]", "seeds: [0]\nbudget: {cpu_hours: 1000, gpu_hours: 1000}")
    endless = ("steps: 30", "steps: 100000000")
    args = ("--jobs", 1, "--limit-hours", 5 / 3600)
    done = process("run", spec(tmp_path, generous, endless), *args)
    refused(done, 3, "--limit-hours", "finished work is kept")


def test_what_does_not_stop_by_itself_is_ended(tmp_path: Path) -> None:
    code = """
import threading, time
from harness.execute import limits
limits.GRACE_SECONDS = 0.2
with limits.time_limit(0.2 / 3600, threading.Event()):
    while True: time.sleep(1)
"""
    from conftest import environment

    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 3
    assert "--limit-hours" in done.stderr


@pytest.mark.slow
def test_a_run_within_its_limits_is_as_without_them(cli: Cli, process: Cli, tmp_path: Path) -> None:
    file, rows = spec(tmp_path), []
    only = ("--profile", "smoke", "--only", "method=none", "--jobs", 1)
    limited = ("--limit-hours", 1, "--limit-memory-gb", 8)
    for out, limits, call in (("a", (), cli), ("b", limited, process)):
        done = call("run", file, *only, *limits, "--out", out, "--store", f"store-{out}")
        assert done.returncode == 0, done.stderr
        found = json.loads((tmp_path / out / "results.json").read_text())
        found.pop("provenance")
        rows.append(found)
    assert rows[0] == rows[1]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits memory")
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.slow
def test_the_runner_limits_memory(process: Cli, tmp_path: Path, jobs: int) -> None:
    file = spec(tmp_path, (MODEL, "{name: small_cnn, widths: [8, 60000000]}"))
    args = ("--jobs", jobs, "--limit-memory-gb", 4, "--only", "method=none")
    refused(process("run", file, *args, "--profile", "smoke"), 1, "memory ran out")


@pytest.mark.parametrize(
    "swap",
    [
        ("alpha: {sweep: [5, 50]}", f"alpha: {{sweep: {list(range(1, 900))}}}\n    dampening_over_alpha: {{sweep: {list(range(1, 900))}}}"),
        ("lr: 0.05}", f"lr: {{sweep: {list(range(1, 400))}}}, momentum: {{sweep: {[i / 1000 for i in range(400)]}}}, weight_decay: {{sweep: {[i / 1e4 for i in range(400)]}}}}}\n  label_smoothing: {{sweep: {[i / 1000 for i in range(400)]}}}"),  # nobody lives to see the last one
        ("seeds: [0]", f"seeds: {list(range(40_000))}"),
    ],
)  # fmt: skip
def test_a_short_spec_cannot_span_a_huge_plan(
    cli: Cli, tmp_path: Path, swap: tuple[str, str]
) -> None:
    for command in ("validate", "plan"):
        refused(cli(command, spec(tmp_path, swap)), 2, "points; at most 200,000")
