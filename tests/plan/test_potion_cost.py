"""What the Potion specs cost, against the count of the published pipeline (protocol section 12)."""

from __future__ import annotations

from functools import cache

import pytest

from conftest import ROOT
from harness.plan.cost import Sizes, samples_of, sizes_of, split_size
from harness.plan.plan import Plan
from harness.plan.protocol import compile_plan
from harness.plan.stage import Stage
from harness.spec.load import load_spec
from harness.stages.evaluate import splits_read

SPECS = ("cifar10", "cifar100")
SETTINGS = 3 * 11  # amounts of poison x shares that were discovered


@cache
def plan_of(name: str) -> Plan:
    file = ROOT / "specs" / "potion" / f"{name}.yaml"
    return compile_plan(load_spec(file, None, ["seeds=[0]"]))


def stages(kind: str, *names: str) -> list[Stage]:
    return [
        stage
        for name in SPECS
        for stage in plan_of(name).stages.values()
        if stage.kind == kind and (not names or stage.uses[0].name in names)
    ]


def test_full_trainings_are_72_instead_of_642() -> None:
    full = stages("train") + stages("unlearn", "retrain")
    assert len(full) == 72 == 2 * (3 + SETTINGS)


def test_importance_pairs_of_ssd_are_at_most_66_instead_of_3000() -> None:
    # 60 for the shares of the grid script and 6 for the single samples that only PTN had; ASSD's
    # are the same ones.
    fisher = stages("prepare", "fisher")
    assert len([s for s in fisher if s.detail["subset"] == "forget"]) == 2 * SETTINGS
    assert len([s for s in fisher if s.detail["subset"] == "retain"]) == 2 * SETTINGS


def test_importance_pairs_of_the_searches_are_198_instead_of_1584() -> None:
    forget = [
        s for s in stages("prepare", "fisher", "sensitivity") if s.detail["subset"] == "forget"
    ]
    assert len(forget) == 198 == 2 * 3 * SETTINGS


def test_searches_are_198_instead_of_1584() -> None:
    assert len(stages("prepare", "trajectory")) == 198


def test_every_setting_has_39_ssd_models_for_50_points_and_two_selection_rules() -> None:
    points = sum(
        len(group.candidates)
        for name in SPECS
        for group in plan_of(name).groups
        if group.method.use.name == "ssd"
    )
    assert points == 2 * SETTINGS * 2 * 50
    assert len(stages("unlearn", "ssd")) == 2 * SETTINGS * 39


def evaluation_forwards() -> float:
    """Samples that unlearned models are evaluated on, and base models once for each split."""
    unlearned = sum(samples_of(stage).forward for stage in stages("evaluate"))
    bases: dict[str, float] = {}
    for stage in stages("evaluate"):
        sizes: Sizes = sizes_of(stage.cell)
        base = dict(stage.inputs)["base"]
        bases[base] = sum(split_size(split, sizes) for split in splits_read(stage.uses) or ())
    return unlearned + sum(bases.values())


def test_evaluation_forwards_are_at_most_120_million_instead_of_721() -> None:
    assert 100e6 < evaluation_forwards() <= 120e6


@pytest.mark.parametrize("name", SPECS)
def test_the_grid_has_thousands_of_points(name: str) -> None:
    plan = plan_of(name)
    assert plan.points == SETTINGS * (3 + 2 + 2 + 8 + 1 + 1 + 50 + 50 + 3 + 3 * 8 + 0)
    assert len(stages("corrupt")) == 6
