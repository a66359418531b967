"""Cells count as much as the spec declares, in every mean over cells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import harness
from conftest import TINY, Cli
from harness.report.pairs import paired
from harness.report.per_method import per_method
from harness.spec.load import load_spec
from harness.spec.places import SpecError

WEIGHTED = TINY + "weights: {discovered: {1: 1, 0.5: 3}}\n"
CLAIMED = WEIGHTED + (
    "claims:\n"
    "  - {metric: attack_success_rate, method: ssd, value: 0.5, unit: share, tolerance: 0.1,\n"
    "     over: [discovered], where: Table 1}\n"
)


@pytest.fixture
def weighted(cli: Cli, tmp_path: Path, finished: Path) -> Path:
    """The folder of a report of the tiny spec in which half discovered counts three times."""
    (tmp_path / "tiny.yaml").write_text(CLAIMED)
    done = cli("run", "tiny.yaml", "--jobs", 1, "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "0 to compute" in done.stderr  # weights move no key
    return tmp_path / "out"


def by_hand(folder: Path, method: str, metric: str) -> float:
    rows = json.loads((folder / "results.json").read_text())["rows"]
    of = {
        row["cell"]["discovered"]: row["metrics"][metric]
        for row in rows
        if row["method"] == method and row["selected"]
    }
    return (of[1.0] + 3 * of[0.5]) / 4


def test_means_claims_and_differences_take_the_declared_weights(weighted: Path) -> None:
    results = harness.read_results(weighted)
    metric = "attack_success_rate"
    ssd, retrain = (by_hand(weighted, method, metric) for method in ("ssd", "retrain"))
    means = {mean.method: mean.metrics[metric].mean for mean in per_method(results)}
    assert means["ssd"] == pytest.approx(ssd)
    assert means["retrain"] == pytest.approx(retrain)
    assert paired(results, metric, "ssd", "retrain").mean == pytest.approx(ssd - retrain)
    [claim] = results.verdicts
    assert claim.ours is not None
    assert claim.ours.mean == pytest.approx(ssd)


def test_the_caption_says_the_weights(weighted: Path) -> None:
    said = "weighted by discovered 1: 1, 0.5: 3"
    assert said in (weighted / "report.md").read_text()
    assert said in (weighted / "report.html").read_text()


def test_prose_takes_the_same_means(weighted: Path, cli: Cli) -> None:
    note = weighted.parent / "README.md"
    note.write_text("<!--n out attack_success_rate method=ssd digits=4-->?<!--/n-->\n")
    assert cli("prose", ".").returncode == 0
    expected = by_hand(weighted, "ssd", "attack_success_rate")
    assert f">{expected:.4f}<" in note.read_text()


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("{found: {1: 1}}", "'found' is not swept"),
        ("{discovered: {1: 1}}", "found 1; each of 1, 0.5 needs a weight"),
        ("{discovered: {1: 1, 0.5: 1, 0.2: 1}}", "each of 1, 0.5 needs a weight"),
        ("{discovered: {1: 0, 0.5: 1}}", "weights.discovered.1: found 0"),
        ("{discovered: {1: much, 0.5: 1}}", 'weights.discovered.1: found "much"'),
        ("{discovered: 3}", "weights.discovered: found 3"),
    ],
)
def test_weights_that_fit_no_axis_are_refused_with_their_line(
    weights: str, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY + f"weights: {weights}\n")
    with pytest.raises(SpecError) as caught:
        load_spec(file)
    line = len(TINY.splitlines()) + 1
    assert f"{file}:{line}:" in str(caught.value)
    assert said in str(caught.value)
