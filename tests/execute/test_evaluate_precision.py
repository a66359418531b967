"""Models are measured in fp32, or in the precision of their recipe where a spec says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import harness
from conftest import TINY, Cli
from harness.components import get
from harness.data.types import DataRoot
from harness.spec.structure import structure_use

BF16 = "train.precision=bf16"
RECIPE = "train.evaluate_precision=recipe"


def keys(*sets: str, folder: Path) -> dict[str, set[str]]:
    """Of every kind of stage of the tiny spec with these changes."""
    file = folder / "tiny.yaml"
    file.write_text(TINY)
    found: dict[str, set[str]] = {}
    for stage in harness.load(file, sets=sets).plan().stages.values():
        found.setdefault(stage.kind, set()).add(stage.key)
    return found


def test_the_precision_of_measuring_moves_what_measures_and_no_weights(tmp_path: Path) -> None:
    plain, measured = keys(BF16, folder=tmp_path), keys(BF16, RECIPE, folder=tmp_path)
    changed = {kind for kind in plain if plain[kind] != measured[kind]}
    assert changed == {"evaluate"}
    assert keys(RECIPE, folder=tmp_path) == keys(folder=tmp_path)  # fp32 is fp32


@pytest.mark.parametrize("rule", ["best_validation", "best_test"])
def test_where_measuring_chooses_the_checkpoint_it_moves_the_weights(
    rule: str, tmp_path: Path
) -> None:
    by = f"train.checkpoint={rule}"
    plain, measured = keys(BF16, by, folder=tmp_path), keys(BF16, by, RECIPE, folder=tmp_path)
    assert not plain["train"] & measured["train"]
    assert not plain["unlearn"] & measured["unlearn"]
    assert plain["corrupt"] == measured["corrupt"]


def test_accuracies_are_those_of_a_model_that_computes_in_that_precision(
    cli: Cli, tiny: Path, tmp_path: Path
) -> None:
    args = ("--jobs", 1, "--set", BF16, "--set", "train.steps=8", "--only", "method=none")
    for name, more in (("plain", ()), ("recipe", ("--set", RECIPE))):
        done = cli("run", tiny, *args, *more, "--out", name)
        assert done.returncode == 0, done.stderr
    use = structure_use("datasets", "digits")
    data = get("datasets", "digits").function(use.settings, DataRoot(None, offline=True))
    rows = json.loads((tmp_path / "recipe" / "results.json").read_text())["rows"]
    found = rows[0]["metrics"]["clean_accuracy"]
    model = harness.load_model(
        tmp_path / "recipe", method="none", cell=rows[0]["cell"], store=tmp_path / "store"
    )
    from harness.data.subset import subset

    test = subset(data, 300, 100).test
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        guessed = model(data.encoding.batch(test.inputs)).argmax(1)
    assert found == pytest.approx(float((guessed == test.targets).double().mean()))


def test_what_a_metric_sees_was_computed_in_that_precision() -> None:
    from harness.metrics.evidence import Evidence

    class Pool:
        device = torch.device("cpu")

        def __len__(self) -> int:
            return 1

        def ordered(self, size: int) -> list[object]:
            return [type("Batch", (), {"x": torch.tensor([[1.0, 2**-10]])})]

    layer = torch.nn.Linear(2, 1, bias=False)
    torch.nn.init.ones_(layer.weight)
    seen = {
        precision: float(
            Evidence(
                models=lambda which: layer,
                pools={"test": Pool()},  # type: ignore[dict-item]
                classes=1,
                target_class=None,
                costs={},
                seed="0",
                precision=precision,
            ).logits("test")
        )
        for precision in ("fp32", "bf16")
    }
    assert seen["fp32"] == 1 + 2**-10
    assert seen["bf16"] == 1  # eight bits do not tell it from that
