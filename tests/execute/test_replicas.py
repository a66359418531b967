"""Stages that differ in their seed, computed together by a run."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import attrs
import pytest
import torch
from safetensors.torch import load_file

from conftest import TINY, Cli
from harness.execute.replicas import alike, allowed, most_together
from harness.plan.cells import cells_of
from harness.plan.cost import memory_of
from harness.plan.protocol import compile_plan
from harness.spec.load import load_spec
from harness.stages.options import Options
from harness.training import replicas as training

SEEDS = (
    TINY.replace("seeds: [0]", "seeds: [0, 1]\ndeterministic: statistical")
    .replace("steps: 30", "steps: 20")
    .replace("{sweep: [1.0, 0.5]}", "0.5")
    .replace("  - name: ssd\n    alpha: {sweep: [5, 50]}\n", "  - name: finetune\n    steps: 5\n")
    .replace('    select: {maximize: "mean(unlearned_gain, -accuracy_drop)"}\n', "")
    .replace(", methods.ssd.alpha: 10", "")
    .replace(
        "[clean_accuracy, attack_success_rate, unlearned_gain, accuracy_drop, cost]",
        "[clean_accuracy]",
    )
)


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """The tiny spec with two seeds, without a sweep."""
    file = tmp_path / "seeds.yaml"
    file.write_text(SEEDS)
    return file


def records(store: Path) -> dict[str, dict]:
    """Of what was trained, by the place in the store."""
    files = [*store.glob("train/**/record.json"), *store.glob("unlearn/**/record.json")]
    return {
        str(f.relative_to(store)): json.loads(f.read_text())["content"]["record"] for f in files
    }


def test_a_run_with_replicas_gives_what_one_without_gives(
    cli: Cli, seeds: Path, tmp_path: Path
) -> None:
    for count in ("1", "4"):
        done = cli("run", seeds, "--jobs", 1, "--store", count, "--out", count + "o",
                   "--replicas", count)  # fmt: skip
        assert done.returncode == 0, done.stderr
    one, four = (records(tmp_path / count) for count in ("1", "4"))
    assert one.keys() == four.keys() and len(one) == 8
    assert not any("replicas" in record for record in one.values())
    # The base models, and those of retrain and finetune; the method none trains nothing.
    assert [r.get("replicas", 1) for r in four.values()].count(2) == 6
    for place, record in one.items():
        assert record["meter"] == four[place]["meter"]
        pair = (load_file(tmp_path / c / place.replace("record.json", "tensors.safetensors"))
                for c in ("1", "4"))  # fmt: skip
        a, b = pair
        assert max((a[n].double() - b[n].double()).abs().max() for n in a) < 1e-4
    again = cli("run", seeds, "--jobs", 1, "--store", "4", "--replicas", "3")
    assert "0 to compute" in again.stderr


def test_without_the_option_a_processor_computes_one_by_one(
    cli: Cli, seeds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(training, "take_turns")
    done = cli("run", seeds, "--jobs", 1, "--only", "method=none")
    assert done.returncode == 0, done.stderr


def test_a_spec_that_wants_identical_bytes_refuses_replicas(cli: Cli, tiny: Path) -> None:
    done = cli("run", tiny, "--replicas", 4)
    assert done.returncode == 2
    assert "--set deterministic=statistical" in done.stderr


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5"])
def test_a_wrong_number_of_replicas_is_refused(cli: Cli, tiny: Path, text: str) -> None:
    done = cli("run", tiny, f"--replicas={text}")
    assert done.returncode == 2
    assert "neither 'auto' nor a number" in done.stderr


def test_as_many_as_pay_only_on_a_gpu_and_without_identical_bytes(seeds: Path) -> None:
    statistical = load_spec(seeds)
    bitwise = attrs.evolve(statistical, deterministic="bitwise")
    assert allowed(None, statistical, ("cpu",)) == 1
    assert allowed(None, bitwise, ("cuda:0",)) == 1
    assert allowed(1, bitwise, ("cuda:0",)) == 1
    assert allowed(None, statistical, ("cuda:0",)) is None


def test_how_many_are_trained_together_follows_from_table_and_memory(
    seeds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = ["data.dataset=cifar10", "data.train_samples=null", "data.test_samples=null",
               "corruption=none", "forget={set: random, share: 0.1}", "methods=[none]",
               "metrics=[clean_accuracy]", "train.batch_size=64"]  # fmt: skip

    def together(model: str, gigabytes: float, jobs: int = 1, asked: int | None = None) -> int:
        cell = next(iter(cells_of(load_spec(seeds, None, [*changes, f"model={model}"]))))
        options = Options(store=tmp_path, data_root=None, devices=("cuda:0",), jobs=jobs,
                          replicas=asked)  # fmt: skip
        found = SimpleNamespace(total_memory=gigabytes * 1e9)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: found)
        return most_together(cell, options)

    stock, cifar = "{name: resnet18, cifar_stem: false}", "{name: resnet18}"
    assert together(stock, 80) == 32  # 14 GFLOP a step
    assert together(cifar, 80) == 4  # 0.2 TFLOP
    assert 1 < together(stock, 24) < 32 and together(stock, 24, jobs=2) < together(stock, 24)
    assert together(stock, 0.1) == 1
    assert together(cifar, 80, asked=9) == 9


def test_a_model_takes_its_weights_what_its_layers_give_and_its_samples(seeds: Path) -> None:
    change = ["model={name: mlp, hidden: [20]}", "train.batch_size=10"]
    cell = next(iter(cells_of(load_spec(seeds, None, change))))
    weights, given = 64 * 20 + 20 + 20 * 10 + 10, 64 + 20 + 20 + 10  # flattened, linear, ReLU, last
    assert memory_of(cell) == 4 * (6 * weights + 3 * 10 * given) + 300 * 64


def test_stages_of_other_settings_are_not_alike(seeds: Path) -> None:
    plan = compile_plan(load_spec(seeds, None, ["train.steps={sweep: [5, 6]}"]))
    trained = [stage for stage in plan.stages.values() if stage.kind == "train"]
    assert len({stage.key for stage in trained}) == 4
    groups = alike(plan)
    assert [len(groups[stage.key]) for stage in trained] == [2] * 4
    assert {k for k in groups if plan.stages[k].kind == "unlearn"} == {
        k for k, s in plan.stages.items() if s.uses and s.uses[0].name in ("retrain", "finetune")
        and s.kind == "unlearn"
    }  # fmt: skip


@pytest.mark.slow
def test_two_processes_train_groups(process: Cli, seeds: Path, tmp_path: Path) -> None:
    done = process("run", seeds, "--jobs", 2, "--replicas", 2)
    assert done.returncode == 0, done.stderr
    found = records(tmp_path / "store")
    assert {record.get("replicas", 1) for record in found.values()} == {1, 2}
