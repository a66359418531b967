"""Numbers do not change unless a revision says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import ROOT, Cli
from golden import FILE, measure
from harness.plan.protocol import compile_plan
from harness.spec.load import load_spec

RENEW = "keys or numbers changed: raise the revision, then run python tests/golden.py"


def test_keys_and_numbers_of_every_method_are_as_pinned(tmp_path: Path) -> None:
    pinned, found = json.loads(FILE.read_text()), measure(tmp_path / "store")
    assert list(found) == list(pinned)
    for method, expected in pinned.items():
        for kind in ("unlearn", "evaluate"):
            assert found[method][kind] == expected[kind], f"{method} {kind}: {RENEW}"
        assert found[method]["weights"] == pytest.approx(expected["weights"], rel=1e-5), RENEW
        # A sample on the edge of two classes may fall either way on another processor.
        assert found[method]["metrics"] == pytest.approx(
            expected["metrics"], abs=0.021, rel=1e-3
        ), RENEW


def test_the_committed_quickstart_results_have_the_keys_of_its_plan() -> None:
    plan = compile_plan(load_spec(ROOT / "specs" / "quickstart.yaml"))
    committed = json.loads((ROOT / "results/quickstart/default/results.json").read_text())
    found = [c.evaluate for group in plan.groups for c in group.candidates]
    assert [row["keys"]["evaluate"] for row in committed["rows"]] == found, (
        "keys changed: run harness run specs/quickstart.yaml and commit its results"
    )


def test_the_quickstart_gives_the_committed_numbers(cli: Cli, tmp_path: Path) -> None:
    only = ("--only", "method=none", "--only", "method=ssd", "--only", "discovered=0.5")
    spec = ROOT / "specs" / "quickstart.yaml"
    done = cli("run", spec, "--seeds", "0", *only, "--jobs", 1, "--out", "out")
    assert done.returncode == 0, done.stderr
    committed = json.loads((ROOT / "results/quickstart/default/results.json").read_text())
    expected = {row["keys"]["evaluate"]: row["metrics"] for row in committed["rows"]}
    for row in json.loads((tmp_path / "out" / "results.json").read_text())["rows"]:
        for metric in ("clean_accuracy", "attack_success_rate"):
            pinned = expected[row["keys"]["evaluate"]][metric]
            assert row["metrics"][metric] == pytest.approx(pinned, abs=0.1), (row["method"], metric)
