"""The report: statistics, verdicts, tables, and safe, repeatable files."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from conftest import TINY
from harness.errors import UsageError
from harness.report import Results, assemble, read_results, render, write_report
from harness.report.record import from_plain, to_plain
from harness.report.results import UNORDERED
from harness.report.spread import Statistics, statistics
from harness.spec.structure import structure, unstructure


def results(
    profile: str | None = None, failed: tuple = (), note: str = "", **claim: object
) -> Results:
    """Results of two methods, two shares and two seeds, with one claim where asked."""
    plain = yaml.safe_load(TINY)
    plain["note"] = note
    if claim:
        defaults = {"metric": "clean_accuracy", "method": "none", "where": "T1", "tolerance": 1}
        plain["claims"] = [{**defaults, **claim}]
    rows = [
        {
            "cell": {"discovered": share},
            "seed": seed,
            "method": method,
            "candidate": {},
            "selected": True,
            "metrics": {"clean_accuracy": 0.9 + 0.02 * seed, "attack_success_rate": share},
            "keys": {"unlearn": "u", "evaluate": "e"},
        }
        for share in (1.0, 0.5)
        for seed in (0, 1)
        for method in ("none", "a|b")
    ]
    plain_results = {
        "rows": rows,
        "spec": unstructure(structure(plain)),
        "profile": profile,
        "metrics": {
            name: {"component": name, "better": "higher", "unit": "share", "doc": "d"}
            for name in ("clean_accuracy", "attack_success_rate")
        },
        "methods": {
            m: {"component": m, "summary": "s", "source": "src", "sees": ["retain"], "settings": {}}
            for m in ("none", "a|b")
        },
        "components": [],
        "data": {"name": "digits", "digest": "0" * 64, "train": 10, "validation": 1, "test": 5},
        "failed": list(failed),
        "stages": {},
        "provenance": {
            "command": "harness run x",
            "machine": {"cpu": "c", "cpus": 2},
            "versions": {"torch": "1"},
            "git": None,
        },
    }
    return assemble(from_plain(Results, plain_results))


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=8))
def test_mean_spread_and_interval_agree_with_numpy_and_scipy(values: list[float]) -> None:
    found = statistics(values)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-12)
    assert found.std == pytest.approx(np.std(values, ddof=1), abs=1e-9)
    error = stats.sem(values)
    if error > 1e-9:
        low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), error)
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-6, abs=1e-9)


def test_one_seed_has_no_spread() -> None:
    assert statistics([0.5]) == Statistics(mean=0.5, std=None, n=1, low=None, high=None)


@pytest.mark.parametrize(
    ("claim", "ours"),
    [
        ({"value": 91.5}, 91.0),
        ({"value": 50, "metric": "attack_success_rate", "at": {"discovered": 0.5}}, 50.0),
        ({"value": 75, "metric": "attack_success_rate", "over": ["discovered"]}, 75.0),
    ],
)
def test_two_seeds_have_a_mean_and_give_no_verdict(claim: dict, ours: float) -> None:
    [judged] = results(unit="%", **claim).verdicts
    assert judged.ours.mean == pytest.approx(ours)
    assert judged.verdict == "no verdict"
    assert judged.reasons == ("2 seeds; 3 or more are needed",)


def test_a_smaller_profile_or_failed_stages_are_never_compared() -> None:
    claim = {"value": 91, "unit": "%"}
    assert results(profile="smoke", **claim).verdicts[0].verdict == "not comparable"
    failure = {"stage": "train", "key": "k", "error": "boom", "stopped": []}
    judged = results(failed=(failure,), **claim).verdicts[0]
    assert judged.verdict == "not comparable"
    assert "failed" in judged.reason


def test_every_file_is_the_same_when_written_twice(tmp_path: Path) -> None:
    found = results(value=1, unit="%")
    first = {f.name: f.read_bytes() for f in write_report(found, tmp_path / "a")}
    second = {f.name: f.read_bytes() for f in write_report(found, tmp_path / "b")}
    assert first == second
    assert to_plain(read_results(tmp_path / "a")) == json.loads(first["results.json"])


def test_text_of_a_spec_cannot_become_markup(tmp_path: Path) -> None:
    write_report(results(note="<script>alert(1)</script>"), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    write_report(results(), tmp_path)
    page = (tmp_path / "report.html").read_text()
    outside = re.findall(r'(?:src|href)="(?!#)[^"]*"|url\((?!#)[^)]*\)|@import', page)
    assert outside == []


def test_a_failed_stage_is_said_loudly_everywhere(tmp_path: Path) -> None:
    failure = {"stage": "train x", "key": "k", "error": "boom", "stopped": ["evaluate"]}
    write_report(results(failed=(failure,)), tmp_path)
    for name in ("report.md", "report.html"):
        assert "train x failed (boom)" in (tmp_path / name).read_text()


def test_csv_holds_every_row_as_it_is() -> None:
    table = list(csv.DictReader(io.StringIO(render(results(), "csv"))))
    assert len(table) == 8
    assert {row["method"] for row in table} == {"none", "a|b"}
    assert {float(row["clean_accuracy"]) for row in table} == {0.9, 0.92}


def test_pipes_are_escaped_in_markdown_and_underscores_in_latex() -> None:
    assert "a\\|b" in render(results(), "github")
    assert "a\\textbar{}b" in render(results(), "latex")
    assert "clean\\_ \\\\ accuracy" in render(results(), "latex")


def test_the_checklist_has_nine_variables_and_both_answers(tmp_path: Path) -> None:
    write_report(results(), tmp_path)
    text = (tmp_path / "checklist.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 10
    assert all("our own demonstration" in row for row in rows[1:])
    assert "0" * 64 in text


def test_a_number_that_is_not_finite_is_null_and_does_not_break_the_report(tmp_path: Path) -> None:
    found = results()
    rows = tuple(
        evolve(row, metrics={**row.metrics, "clean_accuracy": float("nan")}) for row in found.rows
    )
    again = assemble(evolve(found, rows=rows, order=UNORDERED))
    write_report(again, tmp_path)
    assert (
        json.loads((tmp_path / "results.json").read_text())["rows"][0]["metrics"]["clean_accuracy"]
        is None
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "No such file"),
        ("{", "is not JSON"),
        ("[]", "is not a results file of format 1"),
        ('{"format": 1}', "is not a whole results file: KeyError('rows')"),
        ('{"format": 1, "rows": "x", "provenance": []}', "is not a whole results file"),
        ('{"format": 1, "rows": [{}], "provenance": {}}', "is not a whole results file"),
    ],
)
def test_a_file_of_results_that_is_none_is_named(
    text: str | None, words: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "results.json").write_text(text)
    with pytest.raises(UsageError) as caught:
        read_results(tmp_path)
    assert str(tmp_path / "results.json") in str(caught.value)
    assert words in str(caught.value)
