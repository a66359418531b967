"""``report.html`` as its reader meets it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from report.sample import claim, rows, sample

from browser import Browser
from conftest import ROOT
from harness.report import Results, read_results
from harness.report.html import page
from harness.report.markdown import markdown
from harness.report.section import Drawn, Section

Form = Callable[[Results, Drawn], str]
NOTHING_DRAWN = Drawn(None, (), (), ())
POTION = ROOT / "results/potion-cifar10/cpu"
SCREEN = 900
HEIGHT = "return page.documentElement.scrollHeight"


def shown(results: Results, drawn: Drawn = NOTHING_DRAWN) -> str:
    return page(results, drawn)


@pytest.fixture(scope="module")
def potion() -> str:
    """Potion's page with the figures that lie beside it."""
    names = ("figure_1.svg", "figure_2.svg", "figure_3.svg")
    figures = tuple(Section(name, drawing=(POTION / name).read_text(), file=name) for name in names)
    plot = (POTION / "trade_off.svg").read_text()
    return shown(read_results(POTION), evolve(NOTHING_DRAWN, plot=plot, figures=figures))


class Seen(HTMLParser):
    """What is seen before anything is opened, and the tags with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.folds, self.style, self.text = 0, False, ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.folds += tag == "details"
        self.style = tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        self.folds -= tag == "details"
        self.style = self.style and tag not in ("style", "script")

    def handle_data(self, data: str) -> None:
        if not self.folds and not self.style:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def box(page: str) -> str:
    return page[page.index('<div class="box">') : page.index("<nav")]


def test_twenty_claims_with_one_reason_are_one_sentence_at_the_top() -> None:
    found = read_results(POTION)
    reasons = (
        "the profile 'cpu' is not the paper's protocol",
        "the images are a lossy copy (JPEG)",
    )
    none = evolve(
        found.verdicts[0], verdict="not comparable", scaled=False, reasons=reasons, pairs=()
    )
    text = shown(evolve(found, verdicts=tuple(evolve(none, where=f"Table {i}") for i in range(20))))
    told = (
        "20 claims, 0 testable here: the profile &#x27;cpu&#x27; is not the paper&#x27;s protocol"
    )
    assert told in box(text)
    assert "JPEG" in box(text)
    assert text.count("is not the paper&#x27;s protocol") < 5
    assert Seen(text).text.count("is not the paper's protocol") == 1


def test_a_large_report_stays_small(potion: str, browser: Browser, tmp_path: Path) -> None:
    shutil.copy(POTION / "trade_off.svg", tmp_path)
    assert len(potion.encode()) < 300_000
    assert browser.ask(potion, HEIGHT) <= 5 * SCREEN
    assert browser.ask(potion, HEIGHT, width=400) <= 8 * SCREEN


def judged(*verdicts: str) -> Results:
    """The sample with a claim for each of ``verdicts``."""
    found = sample(claims=[claim(where=f"T{i}") for i in range(len(verdicts))])
    claims = tuple(
        evolve(one, verdict=verdict, reasons=("lossy",) if verdict == "not comparable" else ())
        for one, verdict in zip(found.verdicts, verdicts, strict=True)
    )
    return evolve(found, verdicts=claims)


@pytest.mark.parametrize("form", [page, markdown])
def test_the_box_says_what_held_what_deviates_and_what_is_open(form: Form) -> None:
    found = judged("reproduced", "deviates", "open", "no verdict", "not comparable")
    top = form(found, NOTHING_DRAWN).partition("Results")[0]
    assert "5 claims, 4 testable here: 1 reproduced, 1 deviates, 1 open, 1 no verdict." in top
    for label, place in (("Held", "T0"), ("Deviates", "T1"), ("Open", "T2")):
        assert re.search(rf"{label}\W.*clean_accuracy of ssd is 90 %[^.]*\({place}\): ours", top)
    assert re.search("Not tested.*1 claim: lossy", top)


def test_claims_with_one_verdict_and_reason_stand_in_one_table() -> None:
    found = judged("reproduced", "not comparable", "not comparable")
    text = markdown(found, NOTHING_DRAWN)
    claims = text[text.index("## Claims") : text.index("## Results by cell")]
    assert re.findall(r"^\d .*", claims, re.MULTILINE) == [
        "1 reproduced",
        "2 not comparable: lossy",
    ]
    assert "difference" not in claims


def test_the_base_models_numbers_stand_beside_every_drop() -> None:
    every = rows()
    for row in every:
        row["metrics"] = {"clean_accuracy": 0.75, "accuracy_drop": 0.125}
    facts = {
        name: {"component": name, "better": better, "unit": "share", "doc": ""}
        for name, better in (("clean_accuracy", "higher"), ("accuracy_drop", "lower"))
    }
    text = shown(sample(every, metrics=facts))
    assert re.search(r"Base model</dt><dd>[^<]*clean_accuracy 0.875", text)
    assert text.count("clean_accuracy 0.875") == 2  # in the box and over the table
    for row in every:
        del row["metrics"]["clean_accuracy"]
    assert "not measured: clean_accuracy" in shown(sample(every, metrics=facts))


def test_links_lead_to_the_paper_and_its_code_and_nowhere_else() -> None:
    def published(code: str) -> Results:
        def change(spec: dict[str, Any]) -> None:
            spec["paper"] = {"title": "T", "arxiv": "2406.09173"}

        found = sample(change=change)
        found.spec["paper"]["code"] = code
        return found

    seen = Seen(shown(published('https://example.org/?a="><script>')))
    outside = [a for a in seen.all("a") if not (a["href"] or "").startswith("#")]
    assert [a["href"] for a in outside if "rel" in a] == [
        "https://arxiv.org/abs/2406.09173",
        'https://example.org/?a="><script>',
    ]
    assert {a["rel"] for a in outside if "rel" in a} == {"noreferrer"}
    assert len(seen.all("script")) == 1
    hostile = Seen(shown(published("javascript:alert(1)")))
    assert not [a for a in hostile.all("a") if "script" in (a["href"] or "")]


def test_headers_say_what_they_head_and_every_section_can_be_reached() -> None:
    seen = Seen(shown(sample(claims=[claim()])))
    assert {attrs.get("scope") for attrs in seen.all("th")} == {"col", "row"}
    assert len(seen.all("caption")) == len(seen.all("table"))
    names = [a["href"] for a in seen.all("a") if (a["href"] or "").startswith("#")]
    ids = {f"#{attrs['id']}" for _, attrs in seen.tags if "id" in attrs}
    assert len(names) > 10
    assert set(names) <= ids


SORT = """
const table = page.querySelector("#results table");
const button = [...table.tHead.querySelectorAll("button")].find(b => /attack/.test(b.textContent));
const column = [...table.tHead.rows[0].cells].indexOf(button.parentNode);
const read = () => [...table.tBodies[0].rows].map(row => parseFloat(row.cells[column].textContent));
button.focus();
const focused = page.activeElement === button;
button.click();
const up = [read(), button.parentNode.ariaSort];
button.click();
const down = [read(), button.parentNode.ariaSort];
return {focused, up, down};
"""
FILTER = """
const field = page.querySelector("#results-by-cell input");
field.value = "SSD";
field.dispatchEvent(new view.Event("input"));
const rows = [...page.querySelector("#results-by-cell tbody").rows];
return rows.filter(row => !row.hidden).map(row => row.textContent.includes("ssd"));
"""


def test_tables_are_sorted_and_filtered_by_the_one_script(browser: Browser) -> None:
    text = shown(sample())
    sorted_rows = browser.ask(text, SORT)
    (up, ascending), (down, descending) = sorted_rows["up"], sorted_rows["down"]
    assert sorted_rows["focused"]
    assert (ascending, descending) == ("ascending", "descending")
    assert len(up) == 3
    assert up == sorted(up)
    assert down == up[::-1]
    assert browser.ask(text, FILTER) == [True] * 4


def test_no_other_script_than_ours_can_run(browser: Browser) -> None:
    text = shown(sample())
    asks = "return [page.body.dataset.ran ?? null, page.querySelectorAll('th button').length > 0]"
    run = "document.body.dataset.ran = 1"
    attack = f'<script>{run}</script><img src=x onerror="{run}">'
    assert browser.ask(text.replace("</main>", f"{attack}</main>"), asks) == [None, True]


@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_of_the_page_is_wider_than_the_window(
    width: int, dark: bool, browser: Browser
) -> None:
    found = sample(claims=[claim()], change=lambda spec: spec.update(note="word" * 60))
    seen = browser.ask(
        shown(found),
        "page.querySelectorAll('details').forEach(fold => { fold.open = true; });"
        "return {wide: page.documentElement.scrollWidth, dark: view.matchMedia("
        "'(prefers-color-scheme: dark)').matches}",
        width=width,
        dark=dark,
    )
    assert seen == {"wide": width, "dark": dark}
