"""``harness leaderboard``: results of many specs on one page, looked at as its readers do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from report.sample import rows, sample

from browser import Browser
from conftest import Cli
from harness.report import write_report
from harness.report.leaderboard import as_github, as_html, as_json, entries

NASTY = "<script>alert(1)</script> | `x`"


def board(folder: Path) -> Path:
    """Two protocols that call different methods by one label, and files that are no results."""

    def other(spec: dict[str, Any]) -> None:
        spec.update(id="other", methods=["none", {"name": "retrain", "label": "ssd"}], seeds=[0])

    few = [r for r in rows() if r["seed"] == 0 and r["method"] in ("none", "ssd")]
    few = [{**r, "candidate": {}} for r in few if r["selected"]]
    methods = {m: {"component": {"ssd": "retrain"}.get(m, m), "sees": ["retain"]} for m in ("none", "ssd")}  # fmt: skip
    lossy = {"name": NASTY, "train": 1000, "classes": 10, "lossy": True}
    write_report(sample(), folder / "tiny/default")
    write_report(
        sample(few, change=other, methods=methods, data=lossy, profile="smoke"),
        folder / "other/smoke",
    )
    for name, text in (("damaged", "{"), ("foreign", '{"accuracy": 1}')):
        (folder / name).mkdir()
        (folder / name / "results.json").write_text(text)
    return folder


def test_scores_of_populations_stand_in_no_column_of_another_number_of_models(
    tmp_path: Path,
) -> None:
    """They are shown where their number of models is: in the report of their own run alone."""
    metrics = {"unlearning_score": {"better": "higher", "over": "population"}}
    found = []
    for profile, count in (("smoke", 16), ("standard", 128)):
        score = {
            "cell": sample().order.cells[0], "seeds": {"data": 0, "model": 0}, "method": "ssd",
            "candidate": {},
            "selected": True, "metrics": {"unlearning_score": 0.125 + count / 1e4},
            "models": {"unlearned": count}, "keys": {"score": "s"},
        }  # fmt: skip
        found.append(sample(scores=[score], metrics=metrics, profile=profile))
    for results in found:
        write_report(results, tmp_path / "tiny" / str(results.profile))
    page = as_github(entries(tmp_path)[0])
    text = (tmp_path / "tiny/standard/report.md").read_text()
    assert "smoke" in text and "128 unlearned" in text and "0.138" in text
    for elsewhere in (page, text):
        assert "0.127" not in elsewhere and "16 unlearned" not in elsewhere


def test_every_protocol_has_columns_of_its_own_with_its_scale_and_caveats(tmp_path: Path) -> None:
    found, left_out = entries(board(tmp_path))
    assert [entry.place for entry in found] == ["other/smoke", "tiny/default"]
    assert len(left_out) == 2
    page = json.loads(as_json(found))
    other, tiny = page["protocols"]
    assert (other["profile"], other["n"], other["cells"]) == ("smoke", "1", "4")
    assert "lossy" in other["data"]
    assert "Lossy images: accuracies are lower." in other["caveats"]
    assert "One repetition: nothing is known of the spread." in other["caveats"]
    assert (tiny["profile"], tiny["n"]) == ("default", "3")
    [score] = [
        s
        for s in page["scores"]
        if (s["protocol"], s["method"], s["metric"]) == ("tiny/default", "ssd", "clean_accuracy")
    ]
    assert score["n"] == 3
    assert score["low"] < score["mean"] < score["high"]
    text = as_github(found)
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert "other/smoke: clean\\_accuracy ↑" in table[0] or "other/smoke: clean_accuracy ↑" in table[0]  # fmt: skip
    names = [line.split("|")[1].strip() for line in table]
    assert {"ssd", "ssd (retrain)"} <= set(names)  # one label, two methods
    assert "not comparable" in text
    assert "<script>" not in text


def test_the_command_names_what_it_leaves_out(cli: Cli, tmp_path: Path) -> None:
    folder = board(tmp_path / "results")
    done = cli("leaderboard", folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("left out: ") == 2
    assert "damaged" in done.stderr
    assert "foreign" in done.stderr
    page = (folder / "leaderboard.html").read_text()
    assert 'href="tiny/default/report.html"' in page
    assert page.count("<script") == 1
    assert cli("leaderboard", folder, "--format", "json").stdout.startswith("{")
    assert cli("leaderboard", folder, "--format", "github", "--out", "b.md").stdout == "b.md\n"
    (tmp_path / "empty").mkdir()
    none = cli("leaderboard", tmp_path / "empty")
    assert none.returncode == 2
    assert "no results that can be read" in none.stderr
    assert cli("leaderboard", tmp_path / "nowhere").returncode == 2


@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_is_read_wide_and_narrow_and_its_columns_sort(
    browser: Browser, tmp_path: Path, width: int, dark: bool
) -> None:
    found, _ = entries(board(tmp_path / "results"))
    seen = browser.ask(
        as_html(found, tmp_path),
        """
        const table = page.querySelector(".scroll > table"), head = table.tHead.rows[0].cells[1];
        const means = () => [...table.tBodies[0].rows].map(r => parseFloat(r.cells[1].textContent));
        head.querySelector("button").click();
        const up = means();
        head.querySelector("button").click();
        return {up, down: means(), sorted: head.getAttribute("aria-sort"),
                over: page.documentElement.scrollWidth - view.innerWidth,
                paper: view.getComputedStyle(page.body).backgroundColor,
                bold: table.querySelectorAll("b").length};
        """,
        width=width,
        dark=dark,
    )
    numbers = [x for x in seen["up"] if x is not None]
    assert numbers == sorted(numbers)
    assert [x for x in seen["down"] if x is not None] == numbers[::-1]
    assert seen["sorted"] == "descending"
    assert seen["over"] <= 0  # the table scrolls in its box
    assert seen["paper"] == ("rgb(22, 22, 22)" if dark else "rgb(255, 255, 255)")
    assert seen["bold"] > 0
