"""Learning curves of the base models and of methods, each on a scale of its own."""

from __future__ import annotations

from harness.report.curve import Curve
from harness.report.figures.few import MOST_METHODS, few
from harness.report.panels import Line, Panel, draw_panels
from harness.report.results import Results
from harness.report.section import Section
from harness.report.svg import look

X = "share of the steps, %"
NOTE = (
    "Loss of single batches while training, at equal shares of the steps: the mean over n "
    "trainings (cells and seeds). Each method minimises a loss of its own, so curves of different "
    "methods say nothing of which is better."
)


def learning_curves(results: Results) -> list[Section]:
    """One section, or none where no losses were recorded."""
    bases = [curve for curve in results.learning if not curve.method][:MOST_METHODS]
    labels = [curve.method for curve in results.learning if curve.method]
    methods, rule = few(results, labels, results.order.metrics[:2])
    rows = [("base models, loss", bases)] if bases else []
    for label in methods:
        rows += [(f"{label}, loss", [c for c in results.learning if c.method == label])]
    if not rows:
        return []
    panels = [(label, [_panel(curves)]) for label, curves in rows]
    drawing = draw_panels(X, panels, "Loss while training")
    return [Section("Learning curves", tuple(filter(None, (NOTE, rule))), drawing)]


def _panel(curves: list[Curve]) -> Panel:
    names = [", ".join(f"{axis}={value}" for axis, value in c.cell.items()) for c in curves]
    lines = (_line(c, name, names) for c, name in zip(curves, names, strict=True))
    steps = max(c.steps for c in curves)
    return Panel(f"{steps} steps, n = {sum(c.n for c in curves)}", tuple(lines))


def _line(curve: Curve, name: str, among: list[str]) -> Line:
    count = len(curve.loss)
    x = [100 * (i + 1) / count for i in range(count)]
    return Line(name, **look(name, among), x=x, y=curve.loss, filled=(count - 1,), thin=True)
