"""The peak memory of a stage: measured, recorded and shown."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import torch

from conftest import Cli
from harness.report import read_results
from harness.report.pinned import cost_table
from harness.stages.clock import StageClock
from harness.store import Store

MB = 2**20


def keys(store: Store, kind: str) -> list[str]:
    return [file.parent.name for file in (store.folder / kind).rglob("record.json")]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux resets the peak")
def test_the_peak_of_a_stage_is_its_own_and_not_that_of_the_stages_before() -> None:
    cpu = torch.device("cpu")
    large = StageClock(cpu)
    torch.ones(200 * MB // 4).sum()
    peak = large.resources()["memory"]
    small = StageClock(cpu)
    after = small.resources()["memory"]
    assert peak > 200 * MB
    assert after < peak - 150 * MB


def test_records_and_the_report_show_the_peak_memory_of_each_kind(
    cli: Cli, tiny: Path, finished: Path
) -> None:
    store = Store(finished)
    for kind in ("train", "evaluate"):
        taken = [store.record(kind, key)["resources"] for key in keys(store, kind)]
        assert all(one["memory"] > 50 * MB for one in taken)
    done = cli("run", tiny, "--jobs", 1, "--out", "out")
    assert done.returncode == 0, done.stderr
    found = read_results(finished.parent / "out").provenance.resources
    assert found["train"]["memory"] == max(
        store.record("train", key)["resources"]["memory"] for key in keys(store, "train")
    )
    on_gpu = {"train": {"memory": 1e9, "gpu_memory": 2.5e9, "gpu_use": 0.931}}
    results = read_results(finished.parent / "out")
    provenance = attrs.evolve(results.provenance, resources=on_gpu)
    headers, rows = cost_table(attrs.evolve(results, provenance=provenance))
    assert headers[2:] == ["peak memory", "peak GPU memory", "GPU busy"]
    assert next(row for row in rows if row[0] == "train")[2:] == ["1,000 MB", "2,500 MB", "93%"]
    report = (finished.parent / "out" / "report.md").read_text()
    row = next(line for line in report.splitlines() if line.startswith("| stage"))
    assert "peak memory" in row and "GPU" not in row
