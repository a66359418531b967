"""A search through the command line: one trajectory, its stops, its times and its series."""

from __future__ import annotations

import json
from pathlib import Path

import attrs

from conftest import TINY, Cli
from harness.models.libraries import Timm
from harness.spec.blocks import Use
from harness.spec.fit import architecture

SEARCH = """\
  - name: ptn
    label: ptn-xlf
    rho: {sweep: [0.0, 0.2, 0.75]}
    cap: 120
    select: {at: {rho: 0.2}}
  - xlf
"""


def results(cli: Cli, folder: Path) -> dict:  # type: ignore[type-arg]
    file = folder / "search.yaml"
    text = TINY.replace("metrics:", SEARCH + "metrics:", 1).replace(" cost]", " cost, search]")
    file.write_text(text)
    done = cli("run", file, "--out", folder / "out", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    found: dict = json.loads((folder / "out" / "results.json").read_text())  # type: ignore[type-arg]
    return found


def test_a_search_is_one_trajectory_with_a_stop_for_every_rho(cli: Cli, tmp_path: Path) -> None:
    found = results(cli, tmp_path)
    # 2 shares: fisher of all and of each forget set for ssd (3), sensitivity of retain and forget
    # for each share (4), and one trajectory for each share (2), whatever the number of rhos.
    assert found["stages"]["prepare"] == 9
    rows = [row for row in found["rows"] if row["method"] == "ptn-xlf"]
    assert len(rows) == 2 * 3
    chosen = [row for row in rows if row["selected"]]
    assert [row["candidate"] for row in chosen] == [{"rho": 0.2}] * 2
    for row in chosen:
        series = row["series"]
        assert set(series) == {"accuracy", "dampened", "percentile"}
        assert len({len(values) for values in series.values()}) == 1
        assert len(series["accuracy"]) <= 60
        assert row["metrics"]["ptn_steps"] >= 1
    assert not any("series" in row for row in rows if not row["selected"])
    by_cell = {}
    for row in rows:
        by_cell.setdefault(json.dumps(row["cell"]), []).append(
            (row["candidate"]["rho"], row["metrics"]["ptn_steps"])
        )
    for stops in by_cell.values():
        steps = [step for _, step in sorted(stops)]
        assert steps == sorted(steps, reverse=True)


def test_every_method_has_its_times(cli: Cli, tmp_path: Path) -> None:
    times = results(cli, tmp_path)["provenance"]["times"]
    assert set(times) == {"none", "retrain", "ssd", "ptn-xlf", "xlf"}
    for method, found in times.items():
        assert set(found) == {"wall", "cpu", "gpu", "n"}, method
        assert found["gpu"] is None  # not measured, which is not 0
        assert found["n"] == 2


def test_counting_operations_asks_for_no_pretrained_weights() -> None:
    use = Use("models", "timm", Timm(arch="test_vit", pretrained=True))
    assert architecture(use).settings == attrs.evolve(use.settings, pretrained=False)
    plain = Use("models", "timm", Timm(arch="test_vit"))
    assert architecture(plain) == plain
