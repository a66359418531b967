"""The figures that a spec asks for: their numbers, what they leave out, and safe files."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from report.sample import METHODS, Rows, rows, sample

from harness.report import Results, read_results, write_report
from harness.report.figures import figures
from harness.report.figures.parts import axis_of
from harness.report.record import from_plain
from harness.report.results import ResultRow, ScoreRow
from harness.report.section import Section

HOSTILE = "<script>alert(1)</script> | $x_1$ `y` ]("


def figure(show: str, x: str, y: str | list[str], **more: Any) -> dict[str, Any]:
    return {"title": "Shown", "show": show, "x": x, "y": y, **more}


def results(found: Rows | None, *asked: dict[str, Any], **facts: Any) -> Results:
    def change(spec: dict[str, Any]) -> None:
        spec["figures"] = list(asked)

    return sample(found, change=change, **facts)


def shown(found: Rows | None, asked: dict[str, Any], **facts: Any) -> Section:
    [section] = figures(results(found, asked, **facts))
    return section


def valued() -> Rows:
    """Accuracy is count / 1000 + share + seed / 10; of ssd's candidates, alpha / 100 more."""
    every = rows()
    for row in every:
        cell, alpha = row["cell"], row["candidate"].get("alpha", 0)
        value = cell["count"] / 1000 + cell["discovered"] + row["seed"] / 10 + alpha / 100
        row["metrics"]["clean_accuracy"] = value
    return every


CURVES = figure("curves", "discovered", "clean_accuracy", panels="count", methods=["none", "ssd"])


def test_curves_are_means_over_seeds_and_over_x() -> None:
    [(name, (headers, lines))] = shown(valued(), CURVES).tables
    assert name == "clean_accuracy, by discovered"
    assert headers == ["count", "method", "1.0", "0.5", "mean"]
    assert lines == [
        ["100", "none", "1.200 ± 0.100", "0.700 ± 0.100", "0.950 ± 0.100"],
        ["100", "ssd †", "1.700 ± 0.100", "1.200 ± 0.100", "1.450 ± 0.100"],
        ["1000", "none", "2.100 ± 0.100", "1.600 ± 0.100", "1.850 ± 0.100"],
        ["1000", "ssd †", "2.600 ± 0.100", "2.100 ± 0.100", "2.350 ± 0.100"],
    ]


def test_without_panels_the_mean_runs_over_the_other_axes() -> None:
    section = shown(valued(), figure("curves", "count", ["clean_accuracy", "mia_loss"]))
    headers, lines = section.tables[0][1]
    assert headers == ["method", "100", "1000", "mean"]
    assert lines[0] == ["none", "0.950 ± 0.100", "1.850 ± 0.100", "1.400 ± 0.100"]
    assert [line[0] for line in lines] == ["none", "retrain", "ssd †"]
    assert len(section.tables) == 2
    assert "Mean over discovered for each seed" in section.notes[0]


def test_missing_and_lost_numbers_are_counted() -> None:
    every = [
        r for r in valued() if (r["cell"]["count"], r["seed"], r["method"]) != (100, 2, "none")
    ]
    every[0]["metrics"]["clean_accuracy"] = math.nan
    _, lines = shown(every, CURVES).tables[0][1]
    assert lines[0] == ["100", "none", "1.200 (1 of 3)", "0.650 ± 0.071 (2 of 3)", "0.775 ± 0.247 (3 of 6)"]  # fmt: skip
    assert lines[2][2] == "2.100 ± 0.100"
    gone = [r for r in valued() if not (r["method"] == "ssd" and r["cell"]["discovered"] == 0.5)]
    _, lines = shown(gone, CURVES).tables[0][1]
    assert lines[1][2:] == ["1.700 ± 0.100", "–", "1.700 ± 0.100 (3 of 6)"]


def test_one_seed_has_no_spread() -> None:
    found = results([r for r in valued() if r["seed"] == 0], CURVES)
    found.spec["seeds"] = [0]
    [section] = figures(found)
    assert section.tables[0][1][1][0] == ["100", "none", "1.100", "0.600", "0.850"]
    assert "no spread is known" in section.notes[0]


def test_a_sweep_has_all_candidates_and_marks_the_chosen() -> None:
    asked = figure("sweep", "alpha", ["clean_accuracy", "mia_loss"], method="ssd")
    every = valued()
    section = shown(every, asked)
    [(_, (headers, lines))] = section.tables
    assert headers == ["alpha", "chosen", "clean_accuracy", "mia_loss"]
    # mean of count / 1000 is 0.55, of the share 0.75, of the seeds 0.1
    assert lines == [
        ["5.0", "0 of 12", "1.450 ± 0.100", "0.500 ± 0.000"],
        ["50.0", "12 of 12", "1.900 ± 0.100", "0.500 ± 0.000"],
    ]
    assert "ssd †" in section.notes[0]
    headers, lines = shown(every, {**asked, "panels": "count"}).tables[0][1]
    assert headers[0] == "count"
    assert [line[:3] for line in lines][:2] == [["100", "5.0", "0 of 6"], ["100", "50.0", "6 of 6"]]


def test_other_settings_are_lines_of_their_own_unless_they_are_tied() -> None:
    asked = figure("sweep", "alpha", "clean_accuracy", method="ssd")
    every = valued()
    for row in every:
        if row["candidate"]:
            row["candidate"]["beta"] = row["candidate"]["alpha"] * 2
    tied = shown(every, asked)
    assert tied.tables[0][1][0] == ["alpha", "chosen", "clean_accuracy"]
    crossed = [{**r, "candidate": {**r["candidate"], "beta": 1}, "selected": False} for r in every if r["candidate"]]  # fmt: skip
    section = shown([*every, *crossed], asked)
    headers, lines = section.tables[0][1]
    assert headers == ["alpha", "other settings", "chosen", "clean_accuracy"]
    assert {line[1] for line in lines} == {"beta=10.0", "beta=100.0", "beta=1"}
    assert ">beta=1</text>" in (section.drawing or "")


def methods_figure(y: str | list[str], **more: Any) -> dict[str, Any]:
    return {"title": "Shown", "show": "methods", "y": y, **more}


SEES = (["original weights"], ["retain"], ["forget", "original weights"])
FACTS = {m: {"component": m, "sees": sees} for m, sees in zip(METHODS, SEES, strict=True)}


def test_a_mark_for_each_method_stands_between_lines_of_the_references() -> None:
    section = shown(valued(), methods_figure(["clean_accuracy", "mia_loss"]), methods=FACTS)
    [(_, (headers, lines))] = section.tables
    assert headers == ["method", "clean_accuracy", "mia_loss"]
    # Means over four cells and three seeds that are 0.1 apart; Student's 4.303 of two degrees.
    assert lines[0] == ["none", "1.400 [1.152, 1.648]", "0.500 [0.500, 0.500]"]
    assert lines[2] == ["ssd †", "1.900 [1.652, 2.148]", "0.500 [0.500, 0.500]"]
    drawing = section.drawing or ""
    for text in ("none", "retrain", "ssd †", "method"):
        assert f">{text}</text>" in drawing
    assert "Lines across: none, retrain." in section.notes[0]
    assert "mean over count, discovered and seeds" in section.notes[0]


def test_marks_have_intervals_within_bounds_and_references_none() -> None:
    from harness.report.figures.methods import _Methods  # what is drawn, before it is SVG

    every = valued()
    for row in every:
        row["metrics"]["clean_accuracy"] = [0.9, 1.0, 1.0][row["seed"]]
    metrics = {"clean_accuracy": {"component": "clean_accuracy", "range": [0, 1]}}
    found = results(every, methods_figure("clean_accuracy"), methods=FACTS, metrics=metrics)
    rows_of = {(r.method, "null"): [o for o in found.rows if o.method == r.method] for r in found.rows}  # fmt: skip
    built = _Methods(found, axis_of(found, None), rows_of, Counter({"null": 4}))
    none, retrain, marks = built.panel("null", "clean_accuracy", list(METHODS)).lines
    assert (none.x, none.y, none.bars) == (["ssd †"], [pytest.approx(29 / 30)], ())
    assert (retrain.label, marks.label, marks.dash) == ("retrain", "", "none")
    [(low, high)] = marks.bars
    assert (low, high) == (pytest.approx(29 / 30 - 4.3027 * (1 / 30), abs=1e-4), 1.0)


def test_marks_have_a_panel_for_each_value_of_an_axis_and_count_what_is_missing() -> None:
    asked = methods_figure("clean_accuracy", panels="count", methods=["none", "ssd"])
    every = [r for r in valued() if (r["cell"]["count"], r["seed"], r["method"]) != (100, 2, "ssd")]
    section = shown(every, asked, methods=FACTS)
    headers, lines = section.tables[0][1]
    assert headers == ["count", "method", "clean_accuracy"]
    assert [line[:2] for line in lines] == [["100", "none"], ["100", "ssd †"], ["1000", "none"], ["1000", "ssd †"]]  # fmt: skip
    assert lines[1][2].endswith("(4 of 6)")
    assert (section.drawing or "").count(" · count = ") == 2
    assert "Lines across: none." in section.notes[0]
    assert "Not shown" in shown([], asked, methods=FACTS).notes[0]


def test_references_alone_are_marks() -> None:
    asked = methods_figure("clean_accuracy", methods=["none", "retrain"])
    drawing = shown(valued(), asked, methods=FACTS).drawing or ""
    assert drawing.count(">retrain</text>") == 2  # at its line, and below its mark


PATH = figure("trajectory", "percentile", "forget", method="ssd")


def recorded(stop: float | None = None) -> Rows:
    every = rows()
    for row in every:
        if row["method"] == "ssd":
            row["series"] = {"percentile": [100.0, 10.0, 1.0], "forget": [1.0, 0.5, 0.1]}
            if stop is not None:
                row["metrics"]["ptn_percentile"] = stop
    return every


@pytest.mark.parametrize(("stop", "place"), [(None, 2), (9.0, 1), (400.0, 0)])
def test_a_trajectory_stops_where_the_metric_says(stop: float | None, place: int) -> None:
    from harness.report.figures.trajectory import path_of

    row = next(r for r in recorded(stop) if "series" in r)
    line = path_of(from_plain(ResultRow, row), "percentile", "forget", "", "#000000")
    assert line.filled == (place,)
    section = shown(recorded(stop), PATH)
    assert "4 cells, first seed" in section.notes[0]
    assert ">count=100, discovered=0.5</text>" in (section.drawing or "")
    by_count = shown(recorded(stop), {**PATH, "panels": "count"}).drawing or ""
    assert by_count.count(">discovered=0.5</text>") == 2
    assert " · count = 1000</text>" in by_count


def test_what_is_no_number_in_a_series_is_left_out() -> None:
    every = recorded()
    for row in every:
        if "series" in row:
            row["series"]["forget"][1] = math.nan
    assert shown(every, PATH).drawing
    for row in every:
        if "series" in row:
            row["series"]["forget"] = [None, math.inf, "x"]
    assert shown(every, PATH).notes == ("Not shown: no row has a number for it.",)


@pytest.mark.parametrize(
    ("found", "asked", "why"),
    [
        (None, figure("curves", "patch", "clean_accuracy"), "patch is not swept"),
        ([], CURVES, "no row has a result"),
        (None, {**CURVES, "y": "unlearned_gain"}, "no row has a number"),
        (None, figure("sweep", "dampening", "clean_accuracy", method="ssd"), "of dampening"),
        (None, figure("sweep", "alpha", "clean_accuracy", method="none"), "candidate of none"),
        (None, PATH, "no row of ssd has the series percentile, forget"),
    ],
)
def test_what_cannot_be_shown_says_why(found: Any, asked: dict[str, Any], why: str) -> None:
    section = shown(found, asked)
    assert section.drawing is None
    assert section.tables == ()
    assert why in section.notes[0]


@pytest.mark.parametrize("y", ["clean_accuracy", []])
def test_a_scatter_of_one_metric_is_not_drawn_and_breaks_no_report(y: Any) -> None:
    section = shown(valued(), figure("scatter", "clean_accuracy", y))
    assert section.notes == ("Not shown: its two axes are one metric.",)


@pytest.mark.parametrize("counts", [[3, 1], ["x", 1], [1, 2, 3], [1]])
def test_a_histogram_leaves_out_what_is_no_pair_of_numbers(counts: list[Any]) -> None:
    found = results(None, figure("histogram", "begins", "share"))
    score = {"cell": dict(found.order.cells[0]), "method": "none", "candidate": {}, "selected": True,
             "seeds": {"data": 0, "model": 0}, "metrics": {}, "models": {}, "keys": {},
             "series": {"begins": [1.0, 2.0], "share": counts}}  # fmt: skip
    found = evolve(found, scores=(from_plain(ScoreRow, score),))
    [section] = figures(found)
    [(_, (headers, [line]))] = section.tables
    assert len(headers) == len(line) == 1 + sum(isinstance(c, int) for c in counts[:2])
    assert section.drawing


def test_panels_over_what_is_not_swept_are_one_panel() -> None:
    section = shown(valued(), {**CURVES, "panels": "patch"})
    assert section.tables[0][1][0] == ["method", "1.0", "0.5", "mean"]
    assert "patch is not swept in this run, so there is one panel." in section.notes
    assert section.drawing


def test_an_axis_may_be_called_by_its_whole_path_and_hold_words() -> None:
    asked = figure("curves", "corruption.count", "clean_accuracy")
    assert shown(valued(), asked).tables[0][1][0] == ["method", "100", "1000", "mean"]
    every = [{**r, "cell": {**r["cell"], "place": HOSTILE if r["cell"]["count"] == 100 else "b"}} for r in valued()]  # fmt: skip
    section = shown(every, figure("curves", "place", "clean_accuracy"))
    assert {HOSTILE, "b"} < set(section.tables[0][1][0])
    assert "<script" not in (section.drawing or "")


def test_many_panels_are_drawn_in_part_and_listed_in_full() -> None:
    every = [
        {**r, "cell": {"count": r["cell"]["count"], "part": i}}
        for r in valued()
        for i in range(14)
        if r["cell"]["discovered"] == 1.0
    ]
    asked = figure("curves", "count", "clean_accuracy", panels="part", methods=["none"])
    found = results(every, asked)
    cells = tuple(cell for cell in found.order.cells if "part" in cell)
    found = evolve(found, order=evolve(found.order, cells=cells))
    [section] = figures(found)
    assert "2 more values of part are in the table." in section.notes
    assert len(section.tables[0][1][1]) == 14
    assert (section.drawing or "").count(" · part = ") == 12


def test_the_files_of_figures_are_repeatable_escaped_and_never_stale(tmp_path: Path) -> None:
    asked = [
        {**CURVES, "title": HOSTILE},
        figure("sweep", "alpha", "clean_accuracy", method="ssd"),
        PATH,
    ]
    found = results(recorded(), *asked)
    names = {f.name: f.read_bytes() for f in write_report(found, tmp_path / "a")}
    assert {"figure_1.svg", "figure_2.svg", "figure_3.svg"} <= names.keys()
    again = {f.name: f.read_bytes() for f in write_report(read_results(tmp_path / "a"), tmp_path / "b")}  # fmt: skip
    assert again == names
    page = names["report.html"].decode()
    assert page.count("<script") == 1  # our own
    assert page.count("<svg") == 4
    text = names["report.md"].decode()
    assert "![\\<script\\>alert(1)\\</script\\> \\| $x_1$ \\`y\\` \\](](figure_1.svg)" in text
    (tmp_path / "a/trigger_9.png").write_bytes(b"")
    (tmp_path / "a/figure_of_mine.txt").write_bytes(b"")
    write_report(results(None, CURVES), tmp_path / "a")
    left = {f.name for f in (tmp_path / "a").iterdir()}
    assert {name for name in left if name.startswith(("figure", "trigger"))} == {
        "figure_1.svg",
        "figure_of_mine.txt",
    }


def test_old_results_have_no_figures(tmp_path: Path) -> None:
    found = results(None)
    del found.spec["figures"]
    assert figures(found) == []
    write_report(found, tmp_path)
    assert "Figures" not in (tmp_path / "report.md").read_text()


def test_labels_with_dollars_are_drawn_as_they_are() -> None:
    every = [{**r, "method": "a$b$" if r["method"] == "none" else r["method"]} for r in rows()]
    drawing = shown(every, {**CURVES, "methods": ["a$b$", *METHODS]}).drawing or ""
    assert ">a$b$</text>" in drawing


HEATMAP = figure("heatmap", "point", "sal", panels="count")


def layered() -> Rows:
    """Two layers at three points: count / 100 + layer + seed / 10 + point, of method none."""
    every = rows()
    for row in every:
        base = row["cell"]["count"] / 100 + row["seed"] / 10
        layers = {f"sal:0{i} l{i}": [base + i + p for p in (4, 8, 12)] for i in (0, 1)}
        row["series"] = {"point": [4, 8, 12], **layers} if row["method"] == "none" else {}
    return every


def test_a_heat_map_has_a_panel_for_each_value_and_means_over_the_rest() -> None:
    section = shown(layered(), HEATMAP)
    [(_, (headers, lines))] = section.tables
    assert headers == ["", "4", "8", "12"]
    # mean of the layers 0.5, of the seeds 0.1
    assert lines == [
        ["count = 100", "5.600", "9.600", "13.600"],
        ["count = 1000", "14.600", "18.600", "22.600"],
    ]
    assert "(6)" in section.notes[0] and section.notes[1] == "From the top: 00 l0; 01 l1."
    assert section.drawing is not None and section.drawing.count("count = 1") == 4
    # 2 panels of 2 x 3 and the shades of the scale
    assert section.drawing.count("<path") >= 12
    every = shown(layered(), {**HEATMAP, "panels": None})
    assert [line[0] for line in every.tables[0][1][1]] == [
        "count=100, discovered=1.0", "count=100, discovered=0.5",
        "count=1000, discovered=1.0", "count=1000, discovered=0.5",
    ]  # fmt: skip


def test_a_heat_map_of_nothing_says_so_and_of_strangers_is_safe() -> None:
    assert shown(valued(), HEATMAP).notes == (
        "Not shown: no row has the series point and sal:....",
    )
    found = layered()
    for row in found:
        row["series"] = {
            (name if name == "point" else f"sal:{HOSTILE}{name}"): values
            for name, values in row["series"].items()
        }
        row["cell"]["count"] = HOSTILE
    drawing = shown(found, {**HEATMAP, "panels": None}).drawing
    assert drawing is not None and "<script" not in drawing
    for broken in ([math.nan, 1, 2], [1], ["x", 1, 2]):
        found = layered()
        for row in found:
            if row["series"]:
                row["series"]["sal:00 l0"] = broken
        assert "Not shown" in shown(found, HEATMAP).notes[0]


PLANE = figure("landscape", "plane_x", ["loss_trained", "loss_clean"], panels="count")


def test_a_landscape_has_both_losses_and_the_paths_of_each_value() -> None:
    found = rows()
    for row in found:
        lines = {
            f"loss_{n}:0{i} y": [i + 1.0, 2.0, 8.0] for n in ("trained", "clean") for i in (0, 1)
        }
        path = {f"{p}path_{c}": [0.1, 0.5] for p in ("", "clean_") for c in "xy"}
        row["series"] = {"plane_x": [0, 1, 2], "plane_y": [0, 1], **lines, **path}
        row["cell"]["count"] = HOSTILE if row["cell"]["count"] == 100 else 1000
    section = shown(found, {**PLANE, "panels": None})
    assert len(section.tables[0][1][1]) == 8  # two losses of each of four cells
    assert section.tables[0][1][1][-1][1:] == ["loss_clean", "1.000", "8.000"]
    assert section.drawing is not None and "<script" not in section.drawing
    assert section.drawing.count("stroke-dasharray") >= 8  # the clean path in every panel
    for row in found:
        row["series"]["loss_clean:01 y"] = [1.0, math.inf, 2.0]
    assert "Not shown" in shown(found, PLANE).notes[0]
