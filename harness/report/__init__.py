"""From rows of results to tables, plots, verdicts and the checklist."""

from harness.report.author_text import author_checklist
from harness.report.results import assemble, read_results
from harness.report.tables import render
from harness.report.write import write_report

__all__ = ["assemble", "author_checklist", "read_results", "render", "write_report"]
