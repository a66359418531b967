"""Writes a report: results.json, report.md, report.html, checklist.md and what is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.report.checklist import checklist
from harness.report.figures import figures
from harness.report.html import page
from harness.report.markdown import PLOT_FILE, figure_file, markdown
from harness.report.plots import trade_off
from harness.report.results import to_json
from harness.store.files import replace_file

STALE = ("figure_*.svg", "trigger_*.png")


def write_report(results: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write every file of the report into ``folder``, each in one step. Returns their paths.

    What an earlier report drew and this one does not is removed.

    Raises:
        HarnessError: the folder cannot be written.
    """
    plot, drawn = trade_off(results), figures(results)
    texts = {
        "results.json": to_json(dict(results)),
        "report.md": markdown(results, plot is not None, drawn),
        "report.html": page(results, plot, drawn),
        "checklist.md": checklist(results),
        **({PLOT_FILE: plot} if plot is not None else {}),
        **{figure_file(i): s.drawing for i, s in enumerate(drawn) if s.drawing is not None},
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            replace_file(folder / name, text.encode())
        for stale in STALE:
            for file in folder.glob(stale):
                if file.name not in texts:
                    file.unlink()
    except OSError as problem:
        raise HarnessError(
            f"the report folder {folder} cannot be written ({problem.strerror}); "
            "name another with --out. Finished stages are kept in the store"
        ) from None
    return [folder / name for name in texts]
