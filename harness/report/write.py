"""Writes a report: results.json, report.md, report.html, checklist.md and the plot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.report.checklist import checklist
from harness.report.html import page
from harness.report.markdown import PLOT_FILE, markdown
from harness.report.plots import trade_off
from harness.report.results import to_json
from harness.store.files import replace_file


def write_report(results: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write every file of the report into ``folder``, each in one step. Returns their paths.

    Raises:
        HarnessError: the folder cannot be written.
    """
    plot = trade_off(results)
    texts = {
        "results.json": to_json(dict(results)),
        "report.md": markdown(results, plot is not None),
        "report.html": page(results, plot),
        "checklist.md": checklist(results),
        **({PLOT_FILE: plot} if plot is not None else {}),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            replace_file(folder / name, text.encode())
    except OSError as problem:
        raise HarnessError(
            f"the report folder {folder} cannot be written ({problem.strerror}); "
            "name another with --out. Finished stages are kept in the store"
        ) from None
    return [folder / name for name in texts]
