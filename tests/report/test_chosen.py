"""What chose a method's candidate is said wherever its numbers are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from report.sample import sample

from harness.report import Results, render, write_report
from harness.report.chosen import ORACLE, choices, explained, marked
from harness.report.results import MetricFacts


def chosen(select: dict[str, Any] | None, alpha: Any = None) -> Results:
    results = sample()
    [ssd] = [m for m in results.spec["methods"] if m["label"] == "ssd"]
    ssd["select"] = select
    if alpha is not None:
        ssd["alpha"] = alpha
    return results


@pytest.mark.parametrize(
    ("select", "alpha", "by"),
    [
        ({"maximize": "mean(healed, -accuracy_drop)", "minimize": None}, None, "oracle (test)"),
        ({"maximize": None, "minimize": "validation_drop", "at": None}, None, "held-out"),
        ({"maximize": "validation_a - b", "minimize": None}, None, "oracle (test)"),
        ({"maximize": None, "minimize": None, "at": {"alpha": 5}}, None, "fixed"),
        ({"maximize": "healed", "minimize": None}, 10, "fixed"),
        (None, None, "fixed"),
    ],
)
def test_the_metrics_of_select_say_what_chose(select: Any, alpha: Any, by: str) -> None:
    results = chosen(select, alpha)
    assert choices(results) == {"none": "fixed", "retrain": "fixed", "ssd": by}
    assert marked(results, "ssd") == ("ssd †" if by == "oracle (test)" else "ssd")
    header = render(results, "github").split("\n\n")[1].splitlines()[0]
    assert ("chosen by" in header) == (by != "fixed")


def test_a_choice_by_the_retain_and_forget_set_alone_is_not_one_by_the_test() -> None:
    results = chosen({"maximize": "on_forget", "minimize": None})
    facts = {"on_forget": MetricFacts(of_training=True)}
    of_training = attrs.evolve(results, metrics={**results.metrics, **facts})
    assert (choices(results)["ssd"], choices(of_training)["ssd"]) == (ORACLE, "training")
    assert "by metrics of the retain and forget set alone" in explained(of_training)
    mixed = chosen({"maximize": "on_forget - healed", "minimize": None})
    assert choices(attrs.evolve(mixed, metrics={**mixed.metrics, **facts}))["ssd"] == ORACLE


def test_the_report_says_it_in_tables_and_under_the_plot(tmp_path: Path) -> None:
    files = {f.name: f.read_text() for f in write_report(sample(), tmp_path)}
    for name in ("report.md", "report.html"):
        text = files[name]
        assert text.count("oracle (test)") == 1 + 1 + 1, name  # results, methods, what it means
        assert "† its candidate was chosen by the metrics of the test" in text
    assert ">ssd †</text>" in files["trade_off.svg"]
    write_report(chosen(None), tmp_path)
    assert "†" not in (tmp_path / "report.html").read_text()
