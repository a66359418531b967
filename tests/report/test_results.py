"""Results as a file and as typed values: nothing is lost, and what is wrong is named."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from report.sample import claim, rows, sample

from conftest import ROOT
from harness.errors import HarnessError, UsageError
from harness.report import read_results
from harness.report.per_method import per_method
from harness.report.read import to_json
from harness.report.record import from_plain, to_plain
from harness.report.results import Machine, Provenance
from harness.report.spread import statistics

COMMITTED = sorted((ROOT / "results").rglob("results.json"))


@pytest.mark.parametrize("file", COMMITTED, ids=lambda file: file.parent.name)
def test_every_committed_file_is_written_as_it_was_read(file: Path) -> None:
    found = read_results(file)
    assert to_json(found) == file.read_text(encoding="utf-8")
    assert found.rows[0].metrics
    assert found.provenance.machine is not None


def stored(tmp_path: Path, change: Any = lambda plain: None) -> Path:
    """A file of the sample after ``change``."""
    plain = to_plain(sample(claims=[claim()]))
    change(plain)
    file = tmp_path / "results.json"
    file.write_text(json.dumps(plain))
    return file


def test_what_an_older_file_lacks_has_its_default_and_stays_away(tmp_path: Path) -> None:
    found = read_results(stored(tmp_path))
    assert (found.changes, found.origins, found.triggers) == ((), (), ())
    assert found.provenance.constraints is None
    assert found.provenance.times == {}
    plain = to_plain(found)
    assert not {"changes", "origins", "pictures"} & plain.keys()
    assert set(plain["provenance"]) == {
        "command", "git", "machine", "seconds", "started", "versions"
    }  # fmt: skip


def test_null_is_not_the_same_as_nothing() -> None:
    for data in ({"git": None}, {"constraints": None}, {}):
        assert to_plain(from_plain(Provenance, data)) == data
    assert to_plain(from_plain(Machine, {"driver": None})) == {"driver": None}


def test_a_whole_number_stays_one(tmp_path: Path) -> None:
    def change(plain: dict[str, Any]) -> None:
        plain["rows"][0]["metrics"]["mia_loss"] = 1
        plain["provenance"]["seconds"] = 12

    text = to_json(read_results(stored(tmp_path, change)))
    assert '"mia_loss": 1\n' in text
    assert '"seconds": 12,' in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.update(weather={}), "holds 'weather', which"),
        (lambda r: r["rows"][3].update(mood=1), "holds 'mood' at rows[3], which"),
        (lambda r: r["provenance"]["machine"].update(npu=1), "'npu' at provenance.machine, which"),
        (
            lambda r: r["spec"]["claims"][0].update(mood=1),
            "'mood' at a number claim of the spec, which",
        ),
        (lambda r: r["spec"]["paper"].update(mood=1), "'mood' at a paper of the spec, which"),
    ],
)
def test_keys_of_a_newer_version_are_named_with_the_way_out(
    change: Any, words: str, tmp_path: Path
) -> None:
    with pytest.raises(HarnessError) as caught:
        read_results(stored(tmp_path, change))
    assert str(tmp_path / "results.json") in str(caught.value)
    assert words in str(caught.value)
    assert "pip install --upgrade" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r["rows"][2].pop("seed"), "KeyError('seed') at rows[2]"),
        (lambda r: r["rows"][2].update(seed=[0]), "at rows[2].seed"),
        (lambda r: r["rows"][2]["metrics"].update(mia_loss="high"), "at rows[2].metrics['mia_loss']"),
        (lambda r: r["methods"].update(ssd=[]), "[] is no mapping') at methods['ssd']"),
        (lambda r: r["spec"].pop("seeds"), "KeyError('seeds')"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_said_with_its_place(
    change: Any, words: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        read_results(stored(tmp_path, change))
    assert "is not a whole results file" in str(caught.value)
    assert words in str(caught.value)


def test_made_results_are_equal_to_the_same_ones_read(tmp_path: Path) -> None:
    found = sample(claims=[claim()])
    again = read_results(stored(tmp_path))
    assert again == found
    assert again.verdicts[0].ours == found.verdicts[0].ours


def test_the_summary_has_a_row_a_method_with_the_mean_over_cells_and_its_interval() -> None:
    lines = sample().summary(200).splitlines()
    assert lines[0].split()[:3] == ["method", "n", "clean_accuracy"]
    assert [line.split()[0] for line in lines[2:5]] == ["none", "retrain", "ssd"]
    by_seed = [
        [r["metrics"]["clean_accuracy"] for r in rows() if r["method"] == "none" and r["seed"] == s]
        for s in (0, 1, 2)
    ]
    found = statistics([fmean(values) for values in by_seed])
    assert f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]" in lines[2]
    assert "Mean over 4 cells (count, discovered), each with the same weight" in lines[6]
    one = sample([row for row in rows() if row["seed"] == 0]).summary()
    assert "[" not in one


def test_a_mean_over_cells_runs_over_the_same_cells_for_every_seed() -> None:
    torn = [r for r in rows() if not (r["seed"] == 2 and r["cell"]["count"] == 1000)]
    found = per_method(sample(torn))
    assert {mean.seeds for mean in found} == {(0, 1)}
    assert {mean.cells for mean in found} == {4}
    halves = [r for r in torn if r["cell"]["count"] == 100]
    assert {mean.cells for mean in per_method(sample(halves))} == {2}
    assert "2 of 4" in sample(halves).summary()


def test_a_narrow_summary_says_what_it_leaves_out() -> None:
    text = sample().summary(60)
    assert "2 of 3 metrics; the report has all of them, and every cell." in text.replace("\n", " ")
    assert max(map(len, text.splitlines())) <= 60


def test_without_pandas_the_way_to_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(HarnessError, match="pip install pandas"):
        sample().to_pandas()


def test_a_frame_has_one_line_for_each_row() -> None:
    pytest.importorskip("pandas")
    frame = sample().to_pandas()
    assert list(frame.columns) == [
        "count", "discovered", "seed", "method", "candidate.alpha", "selected",
        "clean_accuracy", "attack_success_rate", "mia_loss",
    ]  # fmt: skip
    assert len(frame) == len(rows())
    assert set(frame[frame.method == "ssd"]["candidate.alpha"]) == {5.0, 50.0}
    assert frame[frame.method == "none"]["candidate.alpha"].isna().all()
    means = frame[frame.selected].groupby("method").clean_accuracy.mean()
    assert set(means.index) == {"none", "retrain", "ssd"}
