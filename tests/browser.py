"""Pages in headless Chromium: looked at from a page around them, which no page of ours notices.

A window is never narrower than 500 pixels, so the page stands in a frame of the wanted width. The
frame keeps the page's own policy; the page around it may read, click and measure what it shows.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from attrs import frozen

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
)
AROUND = """<!doctype html><meta charset="utf-8"><style>body {{ margin: 0 }}
iframe {{ border: 0; width: {width}px; height: {height}px }}</style><iframe></iframe><script>
const frame = document.querySelector("iframe");
frame.onload = () => {{
  const page = frame.contentDocument, view = frame.contentWindow;
  let found;
  try {{ found = (() => {{ {script} }})(); }} catch (problem) {{ found = {{problem: `${{problem}}`}}; }}
  document.title = btoa(encodeURIComponent(JSON.stringify(found ?? null)));
}};
frame.srcdoc = decodeURIComponent(escape(atob("{page}")));
</script>"""


def chromium() -> str | None:
    """The program, where there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@frozen
class Browser:
    """Chromium, with what it writes kept in ``folder``."""

    program: str
    folder: Path

    def ask(
        self, page: str, script: str, width: int = 1400, height: int = 900, dark: bool = False
    ) -> Any:
        """What the JavaScript function body ``script`` returns about ``page`` once it is loaded.

        ``page`` and ``view`` are its document and window there.
        """
        file = self._around(page, script, width, height)
        dom = self._run(file, "--dump-dom", dark=dark, width=width, height=height)
        title = re.search(r"<title>([^<]*)</title>", dom)
        assert title is not None, f"the page was not loaded: {dom[:500]}"
        found = json.loads(unquote(base64.b64decode(title[1]).decode()))
        if isinstance(found, dict) and "problem" in found:
            raise AssertionError(found["problem"])
        return found

    def picture(
        self, page: str, to: Path, width: int = 1400, height: int = 900, dark: bool = False
    ) -> Path:
        """``page`` as it is seen at first, as a PNG."""
        file = self._around(page, "", width, height)
        self._run(file, f"--screenshot={to}", dark=dark, width=width, height=height)
        return to

    def _around(self, page: str, script: str, width: int, height: int) -> Path:
        encoded = base64.b64encode(page.encode()).decode()
        file = self.folder / "around.html"
        file.write_text(AROUND.format(page=encoded, script=script, width=width, height=height))
        return file

    def _run(self, file: Path, what: str, *, dark: bool, width: int, height: int) -> str:
        done = subprocess.run(
            [
                self.program,
                *QUIET,
                f"--user-data-dir={self.folder / 'profile'}",
                f"--window-size={max(width, 500)},{height}",
                f"--blink-settings=preferredColorScheme={0 if dark else 1}",
                "--virtual-time-budget=5000",
                what,
                file.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout
