"""The smoke profile of the Potion specs on real images, where they are at hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import ROOT, Cli
from harness.spec.load import load_spec

DATA = ROOT.parent / "shared" / "data"
METHODS = {m.label for m in load_spec(ROOT / "specs/potion/cifar10.yaml").methods}


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("cifar10", "triggers")]


@pytest.mark.skipif(not (DATA / "cifar10").is_dir(), reason="no CIFAR-10 beside the repository")
@pytest.mark.parametrize("name", [*SLOW, "confusion"])
def test_the_smoke_profile_runs_every_method(cli: Cli, tmp_path: Path, name: str) -> None:
    spec = ROOT / "specs" / "potion" / f"{name}.yaml"
    less = ("--set", "forget.discovered={sweep: [1.0]}", "--jobs", "1", "--out", "out")
    done = cli("run", spec, "--profile", "smoke", "--data-root", DATA, "--offline", *less)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert not found["missing"]
    assert set(found["order"]["methods"]) == (
        METHODS if name != "triggers" else {"none", "retrain", "ssd", "ptn-xlf"}
    )
    if name != "confusion":
        assert found["pictures"][0]["images"][0].keys() == {"clean", "triggered", "difference"}
    assert len({origin for _, _, origin, _ in found["origins"]}) == 4
