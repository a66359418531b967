"""From rows of results to tables, plots, verdicts and the checklist."""

from harness.report.assemble import assemble
from harness.report.author_text import author_checklist
from harness.report.printed import narrowed, render
from harness.report.read import read_results
from harness.report.results import Results
from harness.report.write import write_report

__all__ = [
    "Results",
    "assemble",
    "author_checklist",
    "narrowed",
    "read_results",
    "render",
    "write_report",
]
