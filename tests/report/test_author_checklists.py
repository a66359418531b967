"""The checklists for authors: complete, honest about what is left, and escaped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from attrs import evolve
from report.sample import rows, sample

from conftest import ROOT, Cli
from harness.report import Results, author_checklist, read_results, write_report
from harness.report.author_checklists import AUTHORS, items
from harness.report.author_text import latex_plain
from harness.report.results import Git

QUICKSTART = ROOT / "results" / "quickstart" / "default"
NEURIPS = (
    "Claims", "Limitations", "Theory assumptions and proofs",
    "Experimental result reproducibility", "Open access to data and code",
    "Experimental setting/details", "Experiment statistical significance",
    "Experiments compute resources", "Code of ethics", "Broader impacts", "Safeguards",
    "Licenses for existing assets", "New assets",
    "Crowdsourcing and research with human subjects",
    "Institutional review board (IRB) approvals", "Declaration of LLM usage",
)  # fmt: skip
NASTY = 'a_b & 5% of $x$ #1 {y} ~^ \\input{z} <b> | `q` "r" --s'


def clean(**facts: object) -> Results:
    """Results of a clean checkout."""
    return pinned(sample(**facts), git=Git("cafe"))


def pinned(results: Results, **facts: object) -> Results:
    """``results`` with other provenance."""
    return evolve(results, provenance=evolve(results.provenance, **facts))


def by_title(kind: str, results: Results) -> dict:
    return {item.title: item for item in items(kind, results)}


def test_every_item_stands_there_under_its_official_title() -> None:
    assert tuple(by_title("neurips", sample())) == NEURIPS
    assert len(items("ml-reproducibility", sample())) == 21
    assert len(items("variables", sample())) == 9
    text = author_checklist("neurips", "markdown", sample())
    assert [f"## {i}. {title}" for i, title in enumerate(NEURIPS, 1)] == re.findall(
        r"^## \d.*$", text, re.MULTILINE
    )


def test_only_what_the_record_proves_is_answered() -> None:
    found = by_title("neurips", clean())
    proved = {title for title, item in found.items() if item.proved}
    assert proved == {
        "Experimental result reproducibility",
        "Experimental setting/details",
        "Experiment statistical significance",
    }
    for title in ("Claims", "Limitations", "Safeguards", "Declaration of LLM usage"):
        assert found[title].proof == ""
    for kind in ("neurips", "ml-reproducibility"):
        for form in ("markdown", "latex"):
            text = author_checklist(kind, form, clean()).lower()
            left = sum(not item.proved for item in items(kind, clean()))
            assert text.count(AUTHORS) == left + 1  # and once where that is explained


@pytest.mark.parametrize(
    ("title", "worse"),
    [
        ("Experiment statistical significance", lambda: clean(found=[r for r in rows() if r["seed"] == 0])),
        ("Experimental setting/details", lambda: clean(data={})),
        ("Experimental result reproducibility", lambda: clean(found=rows()[1:])),
        ("Experimental result reproducibility", sample),  # uncommitted changes
    ],
)  # fmt: skip
def test_a_gap_in_the_record_leaves_the_item_to_the_authors(title: str, worse) -> None:
    assert by_title("neurips", clean())[title].proved
    assert not by_title("neurips", worse())[title].proved


def test_the_facts_of_the_run_are_filled_in() -> None:
    results = read_results(QUICKSTART)
    text = author_checklist("ml-reproducibility", "markdown", results)
    for fact in (
        results.data.digest,
        "train 1,293, validation 144, test 360",
        "3 repetitions (seeds 0, 1, 2); stages: 3 corrupt, 72 evaluate, 12 prepare, 3 train, 69 unlearn",
        "alpha in {10.0, 30.0, 100.0, 300.0}, chosen by oracle (test)",
        "harness run specs/quickstart.yaml",
        results.provenance.git.revision,
        "95 % interval",
        "torch 2.13.0+cpu",
    ):
        assert fact in text


def nasty() -> Results:
    return pinned(clean(), git=Git(NASTY), command=NASTY)


def test_latex_shows_nasty_text_as_it_is() -> None:
    shown = latex_plain(NASTY + "\n\x1b[0m")
    assert shown == (
        r"a\_b \& 5\% of \$x\$ \#1 \{y\} \textasciitilde{}\textasciicircum{} "
        r"\textbackslash{}input\{z\} \textless{}b\textgreater{} \textbar{} "
        r"\textasciigrave{}q\textasciigrave{} {\char34}r{\char34} -{}-s {[}0m"
    )
    text = author_checklist("neurips", "latex", nasty())
    assert r"\input" not in text
    body = re.sub(r"\\[{}]", "", text)
    assert body.count("{") == body.count("}")
    assert text.count(r"\item \textbf") == 16


def test_markdown_shows_nasty_text_as_it_is() -> None:
    text, _, command = author_checklist("neurips", "markdown", nasty()).partition("\n```\n")
    assert NASTY not in text
    assert command == f"{NASTY}\n```\n"
    assert r"\<b\> \| \`q\`" in text
    assert r"a_b \& 5% of \$x\$" in text


def test_the_nine_variables_are_the_checklist_of_the_report(tmp_path: Path) -> None:
    write_report(sample(), tmp_path)
    text = (tmp_path / "checklist.md").read_text()
    assert author_checklist("variables", "markdown", sample()) == text
    latex = author_checklist("variables", "latex", sample())
    assert latex.count(r"\item \textbf") == 9
    assert "The paper: yes: Algorithm 1" in latex


def test_the_command_prints_or_writes(cli: Cli, tmp_path: Path) -> None:
    printed = cli("checklist", QUICKSTART, "--kind", "neurips", "--format", "latex")
    assert printed.returncode == 0, printed.stderr
    command = ("checklist", QUICKSTART, "--kind", "neurips", "--format", "latex")
    assert cli(*command, "--out", "deep/neurips.tex").returncode == 0
    assert (tmp_path / "deep/neurips.tex").read_text() == printed.stdout
    assert cli("checklist", "nowhere").returncode == 2
    assert cli("checklist", QUICKSTART, "--kind", "icml").returncode == 2
    plain = cli("checklist", QUICKSTART)
    assert plain.stdout == (QUICKSTART / "checklist.md").read_text()


@pytest.mark.parametrize("kind", ["variables", "neurips", "ml-reproducibility"])
def test_a_stranger_reads_where_the_data_come_from_and_that_they_are_lossy(kind: str) -> None:
    results = read_results(ROOT / "results" / "potion-cifar10" / "cpu")
    for form in ("markdown", "latex"):
        text = author_checklist(kind, form, results)
        assert "lossy copy" in text
        assert "Krizhevsky 2009" in text
        assert results.data.digest in text
        assert "listed below" not in text
    assert "lossy" not in author_checklist(kind, "markdown", read_results(QUICKSTART))


def test_n_stands_beside_error_bars() -> None:
    text = author_checklist("neurips", "markdown", clean())
    asked = text.index("Are there error bars")
    assert "**Answer: Yes (n = 3 seeds)**" in text[asked : asked + 200]
    fewer = clean(found=[r for r in rows() if r["seed"] < 2 or r["method"] != "ssd"])
    assert r"\answerYes{} (n = 2 to 3 seeds)" in author_checklist("neurips", "latex", fewer)
