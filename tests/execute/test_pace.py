"""How much longer a run says that it takes."""

from __future__ import annotations

import io
import re

import pytest
import yaml
from rich.console import Console

from conftest import TINY, Cli
from harness.execute import pace as module
from harness.execute.pace import Pace
from harness.execute.progress import Lines, Live
from harness.plan.protocol import compile_plan
from harness.spec.structure import structure


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_time_left_is_by_operations_and_only_once_enough_was_done(clock: list[float]) -> None:
    pace = Pace({"light": 1.0, "heavy": 99.0})
    clock[0] = 10.0
    pace.ended("light", computed=True)
    assert pace.seconds_left() is None  # by the count of stages it would be 10 s
    clock[0] = 30.0
    pace.reached("heavy", 0.25)
    assert pace.seconds_left() == pytest.approx(30 * 74.25 / 25.75)
    pace.ended("heavy", computed=True)
    assert pace.seconds_left() is None


def test_what_need_not_be_computed_speeds_nothing_up(clock: list[float]) -> None:
    pace = Pace(dict.fromkeys("abcd", 1.0))
    clock[0] = 8.0
    pace.ended("a", computed=True)
    pace.ended("b", computed=False)
    assert pace.seconds_left() == pytest.approx(16)


def test_the_live_line_of_a_stage_fits_eighty_columns_and_tells_its_method_and_cell() -> None:
    plan = compile_plan(structure(yaml.safe_load(TINY)))
    out = io.StringIO()
    live = Live(plan.describe, Console(file=out, force_terminal=True, width=80))
    stage = plan.stages[plan.groups[-1].candidates[0].unlearn]
    with live:
        live.planned(len(plan.stages), 5, Pace({}))
        live.started(stage)
        live.stepped(stage, 500, 4000, 0.5)
        live.bars.refresh()
        live.failed(stage, "diverged")
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue()).replace("\r", "\n").splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("unlearn ssd (discovered=0.5, seed 0; alpha=5)") for line in lines)
    assert "failed: unlearn ssd (discovered=0.5, seed 0; alpha=5): diverged" in lines


def test_a_log_says_once_a_minute_how_far_a_long_stage_is(clock: list[float]) -> None:
    plan = compile_plan(structure(yaml.safe_load(TINY)))
    out = io.StringIO()
    log = Lines(plan.describe, out)
    stage = plan.stages[plan.groups[-1].candidates[0].unlearn]
    log.started(stage)
    for second in range(0, 150, 10):
        clock[0] = second
        log.stepped(stage, second, 150, 0.5 if second < 100 else None)
    name = "unlearn ssd (discovered=0.5, seed 0; alpha=5)"
    assert out.getvalue() == f"  {name}: 60 of 150, loss 0.500\n  {name}: 120 of 150\n"


def test_a_log_and_a_failure_name_method_cell_seed_and_candidate(cli: Cli, tiny: object) -> None:
    done = cli("run", tiny, "--jobs", 1, "--set", "methods.retrain.max_cost=0.5")
    assert done.returncode == 3
    assert "failed: unlearn retrain (discovered=1, seed 0): costs more than" in done.stderr
    assert "  unlearn retrain (discovered=0.5, seed 0): costs more than" in done.stdout
    assert re.search(r"^\[\d+/19\] train \(seed 0\) \d", done.stderr, re.MULTILINE)
    assert "evaluate ssd (discovered=1, seed 0; alpha=50) " in done.stderr
