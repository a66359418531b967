"""Numbers in prose are those of the results beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from conftest import ROOT, Cli
from harness.errors import UsageError
from harness.report.prose import MARK, filled

QUICKSTART = ROOT / "results" / "quickstart" / "default"
FILES = sorted((ROOT / "results").rglob("README.md"))


@pytest.fixture
def prose(tmp_path: Path) -> Path:
    (tmp_path / "one").mkdir()
    shutil.copyfile(QUICKSTART / "results.json", tmp_path / "one" / "results.json")
    return tmp_path / "README.md"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_the_numbers_of_a_committed_readme_are_those_of_its_results(file: Path) -> None:
    text = file.read_text()
    assert len(MARK.findall(text)) > 5
    assert filled(file, file.parents[1]) == text


@pytest.mark.parametrize(
    ("mark", "number"),
    [
        ("clean_accuracy method=none", "0.991"),
        ("attack_success_rate method=retrain discovered=0.5 unit=%", "93.8"),
        ("clean_accuracy method=none show=mean±std digits=2", "0.99 ± 0.00"),
        ("clean_accuracy method=none show=n", "3"),
        ("healed method=ssd minus=none", "0.939"),
        ("rows method=ssd", "24"),
        ("/spec/train/epochs digits=0", "20"),
        ("/stages/train", "3"),
    ],
)
def test_a_mark_is_filled_in(prose: Path, mark: str, number: str) -> None:
    prose.write_text(f"It is <!--n one {mark}-->0<!--/n--> here.\n")
    assert filled(prose, prose.parent) == f"It is <!--n one {mark}-->{number}<!--/n--> here.\n"


def test_a_readme_can_take_numbers_of_the_results_next_to_its_own(prose: Path) -> None:
    other = prose.parent / "two" / "README.md"
    other.parent.mkdir()
    other.write_text("<!--n ../one clean_accuracy method=none-->0<!--/n-->\n")
    assert "-->0.991<!--" in filled(other, prose.parent)
    with pytest.raises(UsageError, match=r"README.md:1: '../one' is not in "):
        filled(other, other.parent)


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("<!--n one helaed method=ssd-->0<!--/n-->", "no metric 'helaed' (there are: clean_accu"),
        ("<!--n one healed method=sd-->0<!--/n-->", "no method 'sd' (there are: bad_teacher, "),
        ("<!--n one healed discovered=2-->0<!--/n-->", "no discovered '2' (there are: 0.5, 1)"),
        ("<!--n one healed metod=ssd-->0<!--/n-->", "no option 'metod' (there are: method, seed"),
        ("<!--n two healed-->0<!--/n-->", "no results"),
        ("<!--n ../../x healed-->0<!--/n-->", "'../../x' is not in ."),
        ("<!--n one healed digits=many-->0<!--/n-->", "a mark is <!--n FOLDER METRIC"),
        ("<!--n one /spec/id-->0<!--/n-->", "'quickstart' is no number"),
        ("<!--n one healed-->0", "a mark without its other half"),
    ],
)
def test_a_mark_that_nothing_answers_is_named_with_its_line_and_what_is_allowed(
    cli: Cli, prose: Path, mark: str, said: str
) -> None:
    prose.write_text(f"# Title\n\n{mark}\n")
    done = cli("prose", ".")
    assert done.returncode == 2
    assert "README.md:3: " in done.stderr
    assert said in done.stderr


def test_a_number_that_differs_fails_the_check_until_it_is_filled_in(cli: Cli, prose: Path) -> None:
    prose.write_text("<!--n one clean_accuracy method=none-->0.5<!--/n-->\n")
    checked = cli("prose", ".", "--check")
    assert checked.returncode == 1
    assert "README.md:1: " in checked.stderr and "0.991" in checked.stderr
    assert cli("prose", ".").returncode == 0
    assert cli("prose", ".", "--check").returncode == 0
