"""Drawings for narrow screens and for colour-blind readers: eight methods, labels, small files."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest
from report.sample import Rows, claim, rows, sample
from report.test_files import Page

from harness.report import Results
from harness.report.figures import figures
from harness.report.outline import outline
from harness.report.plots import trade_off
from harness.report.section import Drawn, Section
from harness.report.svg import COLOURS, DASHES, MARKERS

CURVES = {"title": "t", "show": "curves", "x": "discovered", "y": "clean_accuracy"}
MANY = [f"method-{i:02}" for i in range(12)]


def many(claims: list[dict[str, Any]] | None = None, labels: list[str] = MANY) -> Results:
    """Methods whose accuracy falls with their number; the last two are references."""
    found: Rows = []
    for row in rows():
        if row["method"] == "retrain":
            for i, label in enumerate(labels):
                metrics = {"clean_accuracy": 0.9 - i / 100, "attack_success_rate": 0.1 + i / 100}
                found.append({**row, "method": label, "metrics": metrics})
    usual = ["forget", "original weights", "retain"]
    seen = {labels[-1]: ["retain"], labels[-2]: ["original weights"]}
    facts = {m: {"component": m, "sees": seen.get(m, usual)} for m in labels}

    def change(spec: dict[str, Any]) -> None:
        spec["figures"] = [{**CURVES, "panels": "count"}]

    return sample(found, claims or [], change, methods=facts)


def both(results: Results) -> list[Section]:
    plot = trade_off(results)
    assert plot is not None
    return [plot, *figures(results)]


def labels_in(drawing: str) -> list[str]:
    return [label for label in MANY if f">{label}</text>" in drawing]


def test_a_panel_has_eight_methods_and_says_by_which_rule() -> None:
    for section in both(many([claim(method="method-09")])):
        drawn = labels_in(section.drawing or "")
        assert drawn == [*MANY[:5], "method-09", *MANY[-2:]]
        [rule] = [note for note in section.notes if note.startswith("8 of 12 methods: references")]
        assert rule.endswith("not drawn: method-05, method-06, method-07, method-08.")
        assert "best mean rank over" in rule
        assert "clean_accuracy" in rule
    [(_, (_, lines))] = figures(many())[0].tables
    assert {line[1] for line in lines} == set(MANY)  # the table has all


def test_eight_methods_are_all_drawn_and_no_rule_is_needed() -> None:
    for section in both(many(labels=MANY[:8])):
        assert labels_in(section.drawing or "") == MANY[:8]
        assert not any("not drawn" in note for note in section.notes)


def test_marker_and_dashes_tell_methods_apart_without_colour() -> None:
    assert len(set(COLOURS)) == len(set(MARKERS)) == 8
    drawing = figures(many())[0].drawing or ""
    assert len(set(re.findall(r'href="#(m\w+)"', drawing))) >= 8  # one shape for each method
    assert len(set(re.findall("stroke-dasharray:([^;]*)", drawing))) == len(DASHES) - 1


def test_text_is_text_that_a_narrow_screen_does_not_shrink_or_overlap() -> None:
    for section in both(many()):
        drawing = section.drawing or ""
        width = re.search(r'width="([\d.]+)pt" height="[\d.]+pt" viewBox="0 0 ([\d.]+) ', drawing)
        assert width is not None
        assert width[1] == width[2] == "302.4"  # 403 CSS pixels
        sizes = [float(size) for size in re.findall(r'font-size[:="]+([\d.]+)px', drawing)]
        assert min(sizes) >= 8  # points, 10.7 CSS pixels
        placed: dict[str, list[float]] = {}
        for x, y, name in re.findall(r'x="([\d.]+)" y="([\d.]+)">([^<]*)</text>', drawing):
            if name in MANY:
                placed.setdefault(x, []).append(float(y))
        ends = sorted(y for ys in placed.values() for y in ys)
        assert len(ends) in (8, 16)  # in one column
        assert min(b - a for a, b in pairwise(ends)) > 8


def test_numbers_of_labels_are_never_rounded_and_drawings_are_small() -> None:
    every = rows()
    for row in every:
        row["cell"]["count"] = {100: 0.123456, 1000: 1.23456789}[row["cell"]["count"]]
    found = sample(every, change=lambda spec: spec.update(figures=[{**CURVES, "panels": "count"}]))
    drawing = figures(found)[0].drawing or ""
    assert "count = 0.123456<" in drawing
    assert "count = 1.23456789<" in drawing
    assert len(drawing) < 10_000 * drawing.count("count = ")
    assert not re.search(r'[ "]-?\d+\.\d{2,}[ "]', "".join(re.findall(r"<path[^>]*>", drawing)))


def test_drawings_have_a_title_and_a_description_for_readers_who_cannot_see() -> None:
    for section in both(sample(rows(), change=lambda spec: spec.update(figures=[CURVES]))):
        drawing = section.drawing or ""
        assert {"title", "desc"} <= Page(drawing).tags
        assert 'role="img"' in drawing
        [words] = re.findall("<desc>(.*?)</desc>", drawing)
        assert "retrain" in words


@pytest.mark.parametrize(("panels", "columns"), [(9, 1), (10, 2)])
def test_many_panels_stand_in_two_columns_with_one_legend(panels: int, columns: int) -> None:
    from harness.report.panels import Line, Panel, draw_panels

    line = Line("a", "o", "#000000", x=[1, 2], y=[0.5, 0.6], bars=[(0.4, 0.6), None])
    drawing = draw_panels("x", [("y", [Panel(f"p{i}", (line,)) for i in range(panels)])], "t")
    titles = re.findall(r' x="([\d.]+)" y="[\d.]+">y · p\d+<', drawing)
    assert len(titles) == panels
    assert len(set(titles)) == columns
    assert drawing.count(">a</text>") == (panels if columns == 1 else 1)


def named(labels: list[str]) -> Results:
    """Methods at names: the values of the axis ``count`` are words."""
    words = {100: "few", 1000: "many"}
    found = [
        {**row, "method": label, "cell": {**row["cell"], "count": words[row["cell"]["count"]]}}
        for row in rows() if row["method"] == "retrain" for label in labels
    ]  # fmt: skip

    def change(spec: dict[str, Any]) -> None:
        spec["corruption"] = {"name": "badnet", "place": {"sweep": ["top_left", "top_right"]}}
        spec["methods"] = [{"name": "finetune", "label": label} for label in labels]
        spec["figures"] = [{**CURVES, "x": "count"}]

    return sample(found, [], change, methods={m: {"component": m} for m in labels})


def test_no_line_joins_names_and_points_of_methods_stand_side_by_side_there() -> None:
    thick = "stroke-width:1.3"  # of the lines between points
    [numbers] = figures(sample(rows(), change=lambda spec: spec.update(figures=[CURVES])))
    assert thick in (numbers.drawing or "")
    [two] = figures(named(["one", "two"]))
    assert two.drawing is not None and thick not in two.drawing
    assert "<desc>Points: one, two</desc>" in two.drawing
    assert [two.drawing.count(f">{label}</text>") for label in ("one", "two")] == [1, 1]
    bars = re.findall(r"M ([\d.]+) [\d.]+L \1 [\d.]+M ([\d.]+) [\d.]+L \2 ", two.drawing)
    places = [float(x) for pair in bars for x in pair]
    assert len(set(places)) == 4  # two methods at two names, each with a bar
    assert all(other - one > 10 for one, other in pairwise(sorted(places)))
    [one] = figures(named(["one"]))
    assert one.drawing is not None and ">one</text>" not in one.drawing


def test_one_methods_cells_stand_open_and_no_trade_off_is_drawn() -> None:
    for labels, folded in ((["one"], False), (["one", "two"], True)):
        results = named(labels)
        assert (trade_off(results) is None) is not folded
        drawn = Drawn(plot=None, figures=(), triggers=(), profiles=())
        [cells] = [s for s in outline(results, drawn) if s.title == "Results by cell"]
        assert cells.folded is folded
