"""Learning curves: recorded losses reach the results and the report, thinned and averaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from report.sample import sample

from conftest import Cli
from harness.plan.kinds import kinds
from harness.report import read_results, write_report
from harness.report.curve import Curve
from harness.report.figures.learning import learning_curves
from harness.report.learning import _joined, _mean
from harness.store.records import wrong_with
from harness.store.store import Store


def run(cli: Cli, folder: Path) -> dict[str, Any]:
    done = cli("run", folder / "tiny.yaml", "--jobs", 1, "--out", "out")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads((folder / "out/results.json").read_text())
    return found


def test_losses_of_base_and_methods_are_in_the_results_and_drawn(
    cli: Cli, finished: Path, tiny: Path
) -> None:
    found = run(cli, tiny.parent)
    base, retrain = found["learning"]  # ssd trains nothing
    assert (base["method"], base["cell"], base["n"], base["steps"]) == ("", {}, 1, 30)
    assert (retrain["method"], retrain["n"]) == ("retrain", 2)  # one for each share discovered
    record = next(finished.glob("train/*/*/record.json"))
    losses = json.loads(record.read_text())["content"]["record"]["fit"]["losses"]
    assert base["loss"] == losses
    assert losses[0] > losses[-1]
    page = (tiny.parent / "out/report.html").read_text()
    assert "Learning curves" in page
    assert ">retrain, loss · 30 steps, n = 2</text>" in page
    assert ">base models, loss · 30 steps, n = 1</text>" in page
    results = read_results(tiny.parent / "out")
    assert [c.n for c in results.learning] == [1, 2]


def test_records_of_older_versions_have_no_losses_of_methods(
    cli: Cli, finished: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Store.record

    def older(store: Store, kind: str, key: str) -> Any:
        return {name: value for name, value in record(store, kind, key).items() if name != "fits"}

    monkeypatch.setattr(Store, "record", older)
    assert [curve["method"] for curve in run(cli, tiny.parent)["learning"]] == [""]


def test_a_record_may_lack_its_losses_and_not_have_others(finished: Path) -> None:
    own = kinds()["unlearn"].record
    files = list(finished.glob("unlearn/*/*/record.json"))
    for file in files:
        content = json.loads(file.read_text())["content"]
        assert wrong_with(content, own) is None
        del content["record"]["fits"]
        assert wrong_with(content, own) is None
        content["record"]["fits"] = [{"steps": 3, "losses": "many"}]
        assert "fits" in (wrong_with(content, own) or "")
    assert files


def test_curves_of_different_lengths_are_averaged_at_equal_shares_and_thinned() -> None:
    short = _joined([{"steps": 10, "losses": [float(i) for i in range(1, 11)]}])
    two = {"steps": 10, "losses": [2.0] * 10}
    [curve] = _mean("m", {}, [short, _joined([two, two])])
    assert (curve.n, curve.steps, len(curve.loss)) == (2, 20, 20)
    assert curve.loss[-1] == pytest.approx((10 + 2) / 2)
    long = {"steps": 149, "losses": [1.0] * 75}
    assert _joined([long])[-1] == (149, 1.0)
    [thin] = _mean("m", {}, [_joined([long])])
    assert len(thin.loss) == 60
    assert list(_mean("m", {}, [[]])) == []


def test_every_method_has_a_panel_of_its_own_and_base_models_share_one(tmp_path: Path) -> None:
    curves = [Curve("", {"count": n}, n=3, steps=90, loss=(2.0, n / 1000)) for n in (100, 1000)]
    curves += [Curve("retrain", {}, n=6, steps=80, loss=(2.0, 0.5))]
    found = attrs.evolve(sample(), learning=tuple(curves))
    [section] = learning_curves(found)
    drawing = section.drawing or ""
    assert ">base models, loss · 90 steps, n = 6</text>" in drawing
    assert ">count=100</text>" in drawing
    assert drawing.count("steps, n = ") == 2
    assert "curves of different methods say nothing of which is better" in section.notes[0]
    write_report(found, tmp_path)
    assert read_results(tmp_path) == found
    assert learning_curves(sample()) == []
    assert '"learning"' not in (write_report(sample(), tmp_path)[0]).read_text()
