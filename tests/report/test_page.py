"""``report.html`` as its reader meets it."""

from __future__ import annotations

from pathlib import Path

import pytest
from report.sample import sample

from browser import Browser
from harness.report import write_report


def page(folder: Path) -> str:
    write_report(sample(), folder)
    return (folder / "report.html").read_text()


@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_of_the_page_is_wider_than_the_window(
    width: int, dark: bool, browser: Browser, tmp_path: Path
) -> None:
    seen = browser.ask(
        page(tmp_path),
        "return {wide: page.documentElement.scrollWidth, dark: view.matchMedia("
        "'(prefers-color-scheme: dark)').matches}",
        width=width,
        dark=dark,
    )
    assert seen == {"wide": width, "dark": dark}
