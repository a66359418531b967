"""The figures that a spec asks for, as drawings and as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.report.asked import figures_of
from harness.report.figures.curves import curves
from harness.report.figures.heatmap import heatmap
from harness.report.figures.landscape import landscape
from harness.report.figures.methods import methods
from harness.report.figures.populations import histogram, scatter, table
from harness.report.figures.sweep import sweep
from harness.report.figures.trajectory import trajectory
from harness.report.results import Results
from harness.report.section import Section
from harness.spec.blocks import Figure

SHAPES: Mapping[str, Callable[[Results, Figure], Section]] = {
    "curves": curves,
    "methods": methods,
    "sweep": sweep,
    "trajectory": trajectory,
    "scatter": scatter,
    "histogram": histogram,
    "table": table,
    "heatmap": heatmap,
    "landscape": landscape,
}


def figures(results: Results) -> list[Section]:
    """One section for each figure of the spec."""
    return [SHAPES[figure.show](results, figure) for figure in figures_of(results.spec)]
