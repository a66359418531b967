"""From rows of results to tables, plots, verdicts and the checklist."""

from harness.report.results import assemble, read_results
from harness.report.tables import render
from harness.report.write import write_report

__all__ = ["assemble", "read_results", "render", "write_report"]
