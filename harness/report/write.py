"""Writes a report: results.json, report.md, report.html, checklist.md and what is drawn."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve

from harness.errors import HarnessError
from harness.report.candidates import too_many
from harness.report.checklist import checklist
from harness.report.figures import figures
from harness.report.figures.learning import learning_curves
from harness.report.html import page
from harness.report.markdown import markdown
from harness.report.outline import CANDIDATES_FILE, PLOT_FILE, figure_file, trigger_file
from harness.report.pictures import pictures, strip
from harness.report.plots import trade_off
from harness.report.profiles import other_profiles
from harness.report.read import to_json
from harness.report.results import Results
from harness.report.section import Drawn
from harness.report.spreadsheet import csv_text
from harness.store.files import replace_file

STALE = ("figure_*.svg", "trigger_*.png", PLOT_FILE, CANDIDATES_FILE)


def write_report(results: Results, folder: Path) -> list[Path]:
    """Write every file of the report into ``folder``, each in one step. Returns their paths.

    Results of other profiles of the same spec that lie in the folders beside it are compared.
    What an earlier report drew and this one does not is removed.

    Raises:
        HarnessError: the folder cannot be written.
    """
    files = _files(results, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            replace_file(folder / name, content)
        for stale in STALE:
            for file in folder.glob(stale):
                if file.name not in files:
                    file.unlink()
    except OSError as problem:
        raise HarnessError(
            f"the report folder {folder} cannot be written ({problem.strerror}); "
            "name another with --out. Finished stages are kept in the store"
        ) from None
    return [folder / name for name in files]


def _files(results: Results, folder: Path) -> dict[str, bytes]:
    """The contents of every file by name."""
    plot = trade_off(results)
    drawn = Drawn(
        plot=plot.drawing if plot else None,
        plot_notes=plot.notes if plot else (),
        figures=tuple(
            evolve(f, file=figure_file(i)) if f.drawing else f
            for i, f in enumerate([*figures(results), *learning_curves(results)])
        ),
        triggers=tuple(pictures(results)),
        profiles=tuple(other_profiles(results, folder)),
    )
    texts = {
        "results.json": to_json(results),
        "report.md": markdown(results, drawn),
        "report.html": page(results, drawn),
        "checklist.md": checklist(results),
        **({PLOT_FILE: drawn.plot} if drawn.plot is not None else {}),
        **{f.file: f.drawing for f in drawn.figures if f.drawing is not None},
        **({CANDIDATES_FILE: csv_text(results) + "\n"} if too_many(results) else {}),
    }
    files = {name: text.encode() for name, text in texts.items()}
    return files | {trigger_file(i): strip(images) for i, (_, images) in enumerate(drawn.triggers)}
