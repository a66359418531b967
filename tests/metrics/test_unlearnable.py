"""The unlearnable distance by hand and by brute force, and which trainings it needs."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
import yaml

from conftest import TINY, Cli
from harness.components import get
from harness.errors import HarnessError
from harness.metrics.evidence import Evidence
from harness.metrics.landscape import LOSSES
from harness.metrics.unlearnable import midpoint, ratios
from harness.plan import asked
from harness.plan.cells import cells_of
from harness.plan.plan import Plan
from harness.plan.protocol import compile_plan
from harness.report import read_results
from harness.spec.load import load_spec
from harness.spec.requests import Trained
from harness.spec.structure import structure_use


def brute(values: list[float]) -> float:
    """The midpoint of the centres of the best of all partitions into two sets."""
    best = (float("inf"), 0.0)
    for size in range(1, len(values)):
        for chosen in combinations(range(len(values)), size):
            sides = [[v for i, v in enumerate(values) if (i in chosen) == left] for left in (0, 1)]
            centres = [sum(side) / len(side) for side in sides]
            cost = sum((v - c) ** 2 for side, c in zip(sides, centres, strict=True) for v in side)
            best = min(best, (cost, sum(centres) / 2))
    return best[1]


def test_two_means_is_the_best_of_all_partitions() -> None:
    draws = torch.Generator().manual_seed(3)
    for count in (2, 3, 5, 8):
        for _ in range(5):
            values = torch.rand(count, generator=draws).square().tolist()
            assert midpoint(torch.tensor(values)) == pytest.approx(brute(values), rel=1e-6)
    assert midpoint(torch.tensor([4.0])) == 4 and midpoint(torch.full((3,), 2.0)) == 2


CLEAN = torch.tensor([[0.0, 1.0, 5.0], [1.0, 1.0, 7.0], [2.0, 8.0, 10.0]])
SIZES = torch.tensor([10, 30, 60])


def test_distances_as_worked_by_hand() -> None:
    # centres (0.5, 5), (1, 7), (2, 9): midpoints 2.75, 4, 5.5, threshold 49/12 = 4.083
    # above it 5, 7, 8, 10: 4 entries. Pooled: 0 1 1 1 2 | 5 7 8 10: centres 1 and 7.5, 4.25
    found = ratios(torch.tensor([[5.0, 0.0, 0.0], [4.2, 0.0, 0.0], [0.0, 0.0, 0.0]]), CLEAN, SIZES)
    assert found[""] == 2 / 4
    assert found["_pooled"] == 1 / 4
    assert found["_weighted"] == pytest.approx((10 + 10) / (60 + 60 + 30 + 60))
    assert found["_mean"] == pytest.approx(9.2 / 35)
    same = ratios(CLEAN, CLEAN, SIZES)
    assert set(same.values()) == {1.0}


def test_what_would_be_divided_by_nothing_is_undefined() -> None:
    flat = torch.full((2, 3), 1.0)
    found = ratios(CLEAN[:2], flat, SIZES)
    assert all(found[name] != found[name] for name in ("", "_pooled", "_weighted"))
    assert found["_mean"] == 15 / 6
    lost = ratios(torch.full((3, 3), float("nan")), CLEAN, SIZES)
    assert all(value != value for value in lost.values())


def prepared(sal: torch.Tensor) -> dict[str, torch.Tensor]:
    return {
        "sal": sal,
        "parameters": SIZES,
        "steps": torch.tensor([4, 8, 12]),
        "layers": torch.tensor(list(b"stem\nbody\nhead"), dtype=torch.uint8),
        "passes": torch.tensor([[3, 1]] * 3),
    }


class Given:
    def __init__(self, **tables: torch.Tensor) -> None:
        self.tables = tables

    def prepared(self, name: str, subset: str, of: str = "") -> Any:
        return prepared(self.tables[of or "own"])


def measured(**tables: torch.Tensor) -> tuple[dict[str, float], Evidence]:
    costs = {"base": {"forward": 100, "backward": 100}, "method": {}}
    evidence = Evidence(
        models=lambda which: torch.nn.Identity(), pools={}, classes=2, target_class=None,
        costs=costs, seed="s", answers=Given(**tables),  # type: ignore[arg-type]
    )  # fmt: skip
    use = structure_use("metrics", {"name": "unlearnable_distance"})
    known = get("metrics", use.name)
    values = known.function(evidence, use.settings)
    assert set(values) == set(known.traits.outputs(use.settings))
    return values, evidence


def test_below_clean_is_said_only_outside_what_seeds_do() -> None:
    other = CLEAN.clone()
    other[0, 2] = 0.0  # three learnable layers for four: seeds alone make 0.75, or 4/3
    values, evidence = measured(own=CLEAN / 9, clean=CLEAN, other=other)
    assert (values["ud"], values["ud_clean"], values["ud_below_clean"]) == (0, 0.75, 1)
    assert measured(own=other, clean=CLEAN, other=other)[0]["ud_below_clean"] == 0
    more = CLEAN.clone()
    more[0] = 9.0  # six for four: its inverse is 2/3, so 0.75 is nothing unusual
    values, _ = measured(own=other, clean=CLEAN, other=more)
    assert (values["ud"], values["ud_clean"], values["ud_below_clean"]) == (0.75, 1.5, 0)
    assert values["sharpness_cost"] == (9 + 2 * 3) / 300
    assert evidence.series["point"] == [4, 8, 12]
    assert [name for name in evidence.series if ":" in name] == [
        "sal:00 stem", "sal:01 body", "sal:02 head"
    ]  # fmt: skip


def spec(**changes: Any) -> dict[str, Any]:
    plain = yaml.safe_load(TINY)
    small = {"name": "unlearnable_distance", "snapshots": 3, "samples": 16, "iterations": 2}
    return {
        **plain,
        "profiles": {},
        "seeds": {"data": [0], "model": [0, 1], "unlearn": [0]},
        "data": {"dataset": "digits", "train_samples": 120, "test_samples": 60},
        "corruption": {"name": "gaussian", "std": 0.5, "share": 1.0},
        "model": {"name": "mlp", "hidden": [8]},
        "train": {**plain["train"], "epochs": 3, "steps": None},
        "forget": {"set": "corrupted"},
        "methods": ["none"],
        "metrics": [small, {"name": "loss_landscape", "snapshots": 2, "grid": 4, "samples": 32}],
        "figures": [
            {"title": "SAL", "show": "heatmap", "x": "point", "y": "sal"},
            {"title": "Plane", "show": "landscape", "x": "plane_x", "y": list(LOSSES.values())},
        ],
        **changes,
    }


def written(folder: Path, **changes: Any) -> Path:
    file = folder / "spec.yaml"
    file.write_text(yaml.safe_dump(spec(**changes)))
    return file


def trainings(plan: Plan) -> set[str]:
    return {key for key, stage in plan.stages.items() if stage.kind == "train"}


def test_clean_partners_are_the_base_models_of_a_clean_run(tmp_path: Path) -> None:
    perturbed = compile_plan(load_spec(written(tmp_path)))
    forget = {"set": "random", "share": 0.1}
    clean = compile_plan(load_spec(written(tmp_path, corruption="none", forget=forget)))
    assert len(trainings(clean)) == 3  # model seeds 0, 1 and, for the second one's spread, 2
    assert len(trainings(perturbed)) == 2 + 3
    assert trainings(clean) < trainings(perturbed)
    steps = {tuple(stage.detail["snapshots"]) for stage in perturbed.stages.values()
             if stage.kind == "train"}  # fmt: skip
    assert steps == {(4, 6, 8, 12)}  # three for one metric and two for another
    measured = [{k for k, s in plan.stages.items() if s.kind == "prepare"}
                for plan in (clean, perturbed)]  # fmt: skip
    assert measured[0] < measured[1] and len(measured[1]) == 5


def test_a_number_of_snapshots_needs_a_training_of_known_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [cell, *_] = cells_of(load_spec(written(tmp_path)))
    request = Trained("path", snapshots=5)
    assert asked.kept(cell, [request, Trained("other", snapshots=(0, 3))]) == (
        0,
        2,
        3,
        5,
        7,
        10,
        12,
    )
    sizes = attrs.evolve(asked.sizes_of(cell), train=0)
    monkeypatch.setattr(asked, "sizes_of", lambda cell: sizes)
    with pytest.raises(HarnessError, match=r"5 snapshots .* say train\.steps"):
        asked.kept(cell, [request])


def test_a_run_shows_distance_spread_cost_and_the_map(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", written(tmp_path), "--out", "out", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    first, second = read_results(tmp_path / "out").rows
    assert first.series["point"] == (4, 8, 12)
    names = [name for name in first.series if name.startswith("sal:")]
    assert len(names) == 2 and all(len(first.series[name]) == 3 for name in names)
    # what was the spread of the first seed is the partner of the second
    assert second.metrics["sal_clean"] == pytest.approx(
        first.metrics["sal_clean"] * first.metrics["ud_clean_mean"]  # type: ignore[operator]
    )
    ours = first.metrics["sal"] / first.metrics["sal_clean"]  # type: ignore[operator]
    assert first.metrics["ud_mean"] == pytest.approx(ours)
    assert first.metrics["sharpness_cost"] == pytest.approx(
        3 * 16 * (1 + 2 * 2 * (3 + 2 * 2)) / (3 * 120 * 3)
    )
    report = (tmp_path / "out" / "report.md").read_text()
    assert "### SAL" in report and "### Plane" in report and "Not shown" not in report
    variances = [first.metrics[name] for name in ("plane_variance_first", "plane_variance")]
    assert 0 < variances[0] < variances[1] <= 1 + 1e-6  # type: ignore[operator]
    assert sum(name.startswith("loss_clean:") for name in first.series) == 4
