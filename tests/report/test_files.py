"""The files of a report: complete, repeatable, escaped, and loud about what is missing."""

from __future__ import annotations

import csv
import io
import json
import math
import random
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report.sample import METRICS, claim, rows, sample

from harness.errors import HarnessError
from harness.report import read_results, render, write_report
from harness.report.plots import trade_off
from harness.report.record import to_plain

NASTY = "<script>alert('1')</script> | `x` & \"q\" \\ ```\n</pre><img src=http://x>"


def written(folder: Path, **facts: object) -> dict[str, str]:
    return {f.name: f.read_text() for f in write_report(sample(**facts), folder)}


@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(draw: random.Random) -> None:
    shuffled = rows()
    draw.shuffle(shuffled)
    assert sample(shuffled).rows == sample().rows


def test_rows_stand_in_the_order_of_the_plan() -> None:
    found = sample(rows()[::-1]).rows
    assert [r.keys for r in found] == [r["keys"] for r in rows()]


def test_reading_and_writing_again_changes_no_byte(tmp_path: Path) -> None:
    first = written(tmp_path / "a", claims=[claim()])
    write_report(read_results(tmp_path / "a"), tmp_path / "b")
    assert {f.name: f.read_text() for f in (tmp_path / "b").iterdir()} == first
    assert (
        first["results.json"]
        == json.dumps(
            json.loads(first["results.json"]), indent=2, sort_keys=True, ensure_ascii=False
        )
        + "\n"
    )


def test_only_provenance_differs_between_runs() -> None:
    one, two = to_plain(sample()), to_plain(sample())
    assert "seconds" in one.pop("provenance")
    two.pop("provenance")
    assert one == two
    assert "12.5" not in json.dumps(one)


class Page(HTMLParser):
    """The tags of a page and the attributes that could fetch something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "style")]


def test_no_text_becomes_markup_wherever_it_comes_from(tmp_path: Path) -> None:
    every = rows()
    for row in every:
        row["cell"] = {**row["cell"], NASTY: NASTY}
        row["candidate"] = {NASTY: NASTY} if row["candidate"] else {}
        row["metrics"][NASTY] = math.nan

    def change(spec: dict) -> None:
        spec["note"] = NASTY
        spec["paper"] = {
            "title": NASTY,
            "checklist": {"affiliation": {"answer": "no", "evidence": NASTY}},
        }

    facts = {"source": NASTY, "summary": NASTY, "sees": [NASTY], "component": NASTY}
    files = written(
        tmp_path,
        found=every,
        claims=[claim(where=NASTY)],
        change=change,
        methods={"none": facts},
        metrics={NASTY: {"doc": NASTY, "unit": NASTY, "better": "none"}},
        failed=[{"stage": NASTY, "error": NASTY, "stopped": [NASTY]}],
        data={"name": NASTY},
        origins=[[NASTY] * 4],
        stages={NASTY: {NASTY: NASTY}},
    )
    page = Page(files["report.html"])
    assert not page.tags & {"link", "iframe", "object", "foreignobject"}
    assert files["report.html"].count("<script") == 1  # our own
    assert [
        link for link in page.links if "http" in link or "url(" in link.replace("url(#", "")
    ] == []
    for line in (files["report.md"] + files["checklist.md"]).splitlines():
        if line.startswith(("|", ">", "#")):
            assert "<script" not in line.replace("\\<", "")
    plot = trade_off(sample(every))
    assert plot is not None
    assert Page(plot.drawing or "").tags >= {"svg", "title", "desc"}


def test_every_metric_of_the_markdown_table_stays_in_its_column() -> None:
    table = render(sample(), "github").split("\n\n")[1].splitlines()
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1


def test_gaps_failures_and_lost_numbers_are_said_first(tmp_path: Path) -> None:
    every = [r for r in rows() if (r["method"], r["seed"]) != ("retrain", 2)]
    every[0]["metrics"]["mia_loss"] = math.nan
    failure = {"stage": "unlearn retrain", "error": "boom", "stopped": ["evaluate"]}
    files = written(tmp_path, found=every, failed=[failure], profile="smoke")
    for text in (files["report.md"], files["report.html"]):
        top = text[: text.index("Results")]
        assert "unlearn retrain failed (boom); 1 stage that needs it was not run" in top
        assert "4 of 36 points of the protocol have no result: retrain at count=100" in top
        assert "mia\\_loss = nan" in top or "mia_loss = nan" in top
        assert "smoke" in top
    assert "(n=2)" in files["report.md"]
    assert json.loads(files["results.json"])["rows"][0]["notes"] == {"mia_loss": "nan"}


def test_nothing_at_all_still_gives_a_report(tmp_path: Path) -> None:
    files = written(tmp_path, found=[], data={}, claims=[claim()], components=[])
    assert "trade_off.svg" not in files
    assert "36 of 36 points" in files["report.md"]
    for form in ("github", "latex", "html", "csv"):
        assert render(sample([]), form)


def test_csv_has_every_candidate_unrounded() -> None:
    table = list(csv.DictReader(io.StringIO(render(sample(), "csv"))))
    assert len(table) == len(rows())
    for line, row in zip(table, rows(), strict=True):
        assert {m: float(line[m]) for m in METRICS} == row["metrics"]
        assert line["candidate.alpha"] == str(row["candidate"].get("alpha", ""))
        assert line["selected"] == str(row["selected"])


def test_latex_has_no_letter_that_a_plain_document_cannot_set() -> None:
    every = [{**r, "method": "a_b%&$#{}~^\\"} for r in rows()]
    text = render(sample(every), "latex")
    body = text[text.index("\\begin") :]
    assert body.isascii()
    assert r"a\_b\%\&\$\#\{\}\textasciitilde{}\textasciicircum{}\textbackslash{}" in body
    assert r"$\uparrow$" in body


def test_candidates_are_listed_with_how_often_they_were_chosen(tmp_path: Path) -> None:
    text = written(tmp_path)["report.md"]
    assert "alpha=5.0" in text
    assert "0 of 3" in text
    assert "3 of 3" in text


def test_the_checklist_gives_values(tmp_path: Path) -> None:
    text = written(tmp_path)["checklist.md"]
    values = ["yes: Algorithm 1", "not recorded in the spec", "ab" * 32, "train 270", "torch 2.11"]
    values += ["a processor", "revision cafe with uncommitted changes", "ssd 3", "seeds 0, 1, 2"]
    for value in [*values, "batch_size: 32"]:
        assert value in text


def test_other_metrics_are_plotted_when_the_usual_ones_are_not_measured() -> None:
    every = [{**r, "metrics": {"distance": 13.4, "kl": 0.1 * r["seed"]}} for r in rows()]
    plot = trade_off(sample(every, metrics={}))
    assert plot is not None
    assert "<title>kl against distance of each method</title>" in (plot.drawing or "")
    nasty = [{**r, "metrics": {NASTY: 1.0, "kl": 2.0}} for r in rows()]
    plot = trade_off(sample(nasty, metrics={}))
    assert plot is not None
    assert not Page(plot.drawing or "").tags & {"script", "img"}
    one = [{**r, "metrics": {"distance": 13.4}} for r in rows()]
    assert trade_off(sample(one, metrics={})) is None


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HarnessError, match="name another with --out"):
        write_report(sample(), tmp_path / "file")


def test_the_origin_of_every_value_is_counted_and_listed_where_the_spec_records_it(
    tmp_path: Path,
) -> None:
    origins = [
        ["seeds", "[0, 1]", "ours", "changed by --set"],
        ["train.steps", "30", "paper", "Table 2"],
        ["train.batch_size", "32", "paper", ""],
    ]
    files = written(tmp_path / "with", origins=origins)
    line = "origin of 3 values: paper 2, ours 1"
    assert files["checklist.md"].count(line) == files["report.html"].count(line) == 2
    section = files["checklist.md"].split("## Where the values come from")[1]
    rows = [[c.strip() for c in r.split("|")[1:-1]] for r in section.splitlines() if r[:2] == "| "]
    assert rows[0] == ["path", "value", "origin", "place"]
    assert rows[2] == ["train.steps", "30", "paper", "Table 2"]
    assert len(rows) == 4
    assert "<summary><h2>Where the values come from</h2></summary>" in files["report.html"]
    for text in written(tmp_path / "without").values():
        assert "Where the values" not in text
