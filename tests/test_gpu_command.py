"""`make gpu` in its tiny form, on the CPU: nothing here has seen a GPU."""

from __future__ import annotations

import importlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from conftest import ROOT
from harness.plan.cost import flops_of
from harness.plan.protocol import compile_plan
from harness.spec.load import load_spec

Command = Callable[[list[str]], int]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    before = torch.backends.cudnn.benchmark
    yield importlib.import_module("gpu").main
    torch.set_deterministic_debug_mode("default")
    torch.backends.cudnn.benchmark = before


def test_the_checks_are_written_and_not_measured_again(command: Command, tmp_path: Path) -> None:
    words = ["--device", "cpu", "--into", str(tmp_path)]
    file = tmp_path / "benchmarks" / "results" / "gpu-cpu.json"
    assert command(words) == 0
    found = json.loads(file.read_text())
    table = file.with_suffix(".md").read_text()
    assert list(found["parts"]) == [
        "parity", "repeats", "precisions", "loops", "layouts", "optimisers", "replicas",
    ]  # fmt: skip
    assert all(part["rows"] and part["title"] in table for part in found["parts"].values())
    # On the CPU itself, parity and repetition hold, and one pass gives what training alone gives.
    assert {row[-1] for row in found["parts"]["parity"]["rows"]} == {"yes"}
    assert {row[2] for row in found["parts"]["repeats"]["rows"]} == {"yes"}
    assert {row[-1] for row in found["parts"]["replicas"]["rows"]} == {"yes"}

    del found["parts"]["loops"]  # as if cut off there
    found["parts"]["parity"]["rows"] = [["kept"]]
    file.write_text(json.dumps(found))
    assert command(words) == 0
    again = json.loads(file.read_text())["parts"]
    assert again["parity"]["rows"] == [["kept"]] and again["loops"]["rows"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["--data", "nowhere"]) == 2
    assert "torch finds no GPU here; DEVICE=cpu" in capsys.readouterr().out


def test_make_hands_on_what_it_is_given() -> None:
    words = ["make", "-n", "-C", str(ROOT), "gpu", "DATA=my data", "DEVICE=cpu", "INTO=there"]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    for word in ("benchmarks/gpu.py", '--data "my data"', "--device cpu", '--into "there"'):
        assert word in shown


def test_the_decisive_cells_fit_and_most_of_them_is_retraining() -> None:
    file = ROOT / "specs" / "potion" / "cifar10.yaml"
    plan = compile_plan(load_spec(file, "gpu", ["seeds=[0]"]))
    cost = {key: flops_of(stage) for key, stage in plan.stages.items()}
    retrain = sum(cost[k] for k, s in plan.stages.items() if s.uses and s.uses[0].name == "retrain")
    assert sum(cost.values()) < 25e15 and sum(cost.values()) - retrain < 10e15
