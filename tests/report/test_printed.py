"""``harness report DIR`` with what is asked for: metrics, grouping and format."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path
from statistics import fmean

import matplotlib
import pytest
from PIL import ImageFont
from report.sample import Rows, rows, sample

import harness
from conftest import ROOT, Cli
from harness.report import Results, render
from harness.report.numbers import Best
from harness.report.read import to_json
from harness.report.tables import method_table

COLUMN = 241.0  # points: a column of the narrowest common two-column style


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "results.json").write_text(to_json(sample()))
    return tmp_path


def test_metrics_and_grouping_choose_what_is_printed(cli: Cli, folder: Path) -> None:
    asked = ("report", folder, "--metrics", "mia_loss,clean_accuracy")
    table = cli(*asked, "--by", "method").stdout.split("\n\n")[1].splitlines()
    columns = [cell.strip() for cell in table[0].strip("|").split("|")]
    assert columns == ["method", "n", "mia_loss", "clean_accuracy ↑", "chosen by", "sees"]
    assert len(table) == 2 + 3
    cells = cli(*asked, "--by", "cell").stdout.split("\n\n")[1].splitlines()
    assert len(cells) == 2 + 3 * 4
    assert "attack" not in cells[0]
    lines = list(csv.DictReader(io.StringIO(cli(*asked, "--format", "csv").stdout)))
    assert len(lines) == len(rows())
    assert list(lines[0])[-2:] == ["mia_loss", "clean_accuracy"]


def test_a_metric_that_was_not_measured_is_refused_with_the_nearest(cli: Cli, folder: Path) -> None:
    done = cli("report", folder, "--metrics", "clean_acuracy")
    assert done.returncode == 2
    assert "did you mean 'clean_accuracy'?" in done.stderr
    assert "measured: clean_accuracy, attack_success_rate, mia_loss" in done.stderr
    assert not (folder / "report.html").exists()


def test_a_method_is_the_mean_over_cells_and_then_over_seeds() -> None:
    [line] = [
        line
        for line in csv.DictReader(io.StringIO(render(sample(), "csv", "method")))
        if (line["method"], line["metric"]) == ("none", "attack_success_rate")
    ]
    name = "attack_success_rate"
    mine = [r for r in rows() if r["method"] == "none"]
    seeds = [fmean(r["metrics"][name] for r in mine if r["seed"] == s) for s in (0, 1, 2)]
    assert float(line["mean"]) == pytest.approx(fmean(seeds))
    assert line["n"] == "3"
    assert float(line["low"]) < min(seeds)


def sees(values: dict[str, float], lacking: str = "", **given: list[str]) -> Results:
    """Results in which each of three methods has one accuracy and was given what is said."""
    every: Rows = [r for r in rows() if r["selected"]]
    for row in every:
        row["metrics"] = {"clean_accuracy": values[row["method"]]}
    every = [r for r in every if (r["method"], r["cell"]["count"]) != (lacking, 100)]
    described = {"source": "", "summary": "", "settings": {}}
    methods = {m: {"component": m, **described, "sees": given[m]} for m in values}
    facts = {"clean_accuracy": {"component": "x", "better": "higher"}}

    def fixed(spec: dict) -> None:
        spec["methods"][2] = {"name": "ssd", "alpha": 5}

    return sample(every, change=fixed, methods=methods, metrics=facts)


def bold(results: Results) -> list[str]:
    return [row[0] for row in method_table(results)[1] if isinstance(row[2], Best)]


def test_bold_is_the_best_of_those_that_were_given_no_more() -> None:
    values = {"none": 0.5, "retrain": 0.9, "ssd": 0.7}
    same = {m: ["retain"] for m in values}
    assert bold(sees(values, **same)) == ["retrain"]
    # retraining saw what ssd did not, so it takes nothing from ssd; none has nobody to be better than
    more = {"none": [], "ssd": ["forget"], "retrain": ["forget", "retain"]}
    assert bold(sees(values, **more)) == ["retrain", "ssd"]
    # with a number for part of the cells it is another mean
    assert bold(sees(values, lacking="retrain", **same)) == ["ssd"]
    assert "retrain (2 of 4 cells)" in render(sees(values, lacking="retrain", **same), "github")
    assert bold(sees(dict.fromkeys(values, 0.5), **same)) == list(values)


def widths(block: str) -> float:
    """The width of a LaTeX tabular in points, set in Computer Modern at 8 points, whose letters
    are wider by 6 % than those of its 10 points made smaller."""
    folder = Path(matplotlib.get_data_path()) / "fonts/ttf"
    plain, bold = (ImageFont.truetype(folder / f"{name}10.ttf", 85) for name in ("cmr", "cmb"))
    lines = [line for line in block.splitlines() if line.endswith(r"\\")]
    columns = zip(*(line.removesuffix(r"\\").split(" & ") for line in lines), strict=True)
    total = 0.0
    for column in columns:
        lengths = []
        for cell in column:
            font = bold if r"\textbf" in cell else plain
            parts = re.sub(r"\\shortstack|\\textbf|\$\\\w+\$", "", cell).split(r"\\")
            texts = (re.sub(r"\\dag|[{}\\]", "", part).strip() for part in parts)
            lengths.append(max(font.getlength(text) / 10 for text in texts))
        total += max(lengths) + 6
    return total


def test_latex_fits_a_column_with_the_best_in_bold() -> None:
    values = {"none": 0.5, "retrain": 0.9, "ssd": 0.7}
    found = sees(values, **{method: ["retain"] for method in values})
    assert r"\textbf{0.900 {[}0.900, 0.900{]}}" in render(found, "latex")
    for by in ("method", "cell"):
        text = render(sample(), "latex", by)
        blocks = re.findall(r"\\begin\{tabular\}.*?\\end\{tabular\}", text, re.DOTALL)
        assert len(blocks) > 1  # what does not fit beside stands below
        assert all(widths(block) <= COLUMN for block in blocks)
        for block in blocks:
            sides = re.search(r"\{@\{\}(\w+)@\{\}\}", block)
            assert sides is not None
            lines = [line for line in block.splitlines() if line.endswith(r"\\")]
            assert {line.count(" & ") for line in lines} == {len(sides[1]) - 1}
        for kind in ("table", "tabular"):
            assert text.count(f"\\begin{{{kind}}}") == text.count(f"\\end{{{kind}}}")
        assert text.count("{") == text.count("}")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_tables_compile_and_none_is_wider_than_a_column(tmp_path: Path) -> None:
    results = harness.read_results(ROOT / "results" / "quickstart" / "default")
    potion = harness.read_results(ROOT / "results" / "potion-cifar10" / "cpu")  # with claims
    tables = "\n".join(render(found, "latex") for found in (results, potion))
    head = "\\documentclass[twocolumn]{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
    (tmp_path / "t.tex").write_text(f"{head}{tables}\n\\end{{document}}\n")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "t.tex"], cwd=tmp_path, capture_output=True
    )
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said[-2000:]
    assert "Overfull \\hbox" not in said, said


def test_a_metric_that_has_nothing_to_measure_of_a_method_has_a_dash_there() -> None:
    potion = harness.read_results(ROOT / "results" / "potion-cifar10" / "cpu")
    headers, lines = method_table(potion)
    column = next(i for i, header in enumerate(headers) if header.startswith("ptn_percentile"))
    shown = {line[0]: line[column] for line in lines}
    assert shown["none"] == shown["ssd-held-out"] == "–"
    assert shown["ptn-xlf"][0].isdigit()
