"""The trade-off plot as SVG text, equal for equal results."""

from __future__ import annotations

from harness.report.chosen import dagger
from harness.report.figures.few import few
from harness.report.figures.parts import averaged, spread_note
from harness.report.figures.populations import Point, draw_points
from harness.report.results import Results
from harness.report.section import Section

PREFERRED = ("attack_success_rate", "clean_accuracy")


def trade_off(results: Results) -> Section | None:
    """Clean accuracy against attack success of each method, or the first two metrics where those
    are not measured: the mean over cells. None for fewer than two methods: a trade-off is between
    them."""
    metrics = results.order.metrics
    names = PREFERRED if set(PREFERRED) <= set(metrics) else metrics[:2]
    points: dict[str, dict[str, Point]] = {}
    for label in results.order.methods:
        rows = [row for row in results.rows if row.selected and row.method == label]
        found = {name: averaged(rows, name, 0).over_seeds for name in names}
        place = {name: (f.mean, f.std) for name, f in found.items() if f.mean is not None}
        if len(place) == 2:
            points[label] = place
    if len(points) < 2:
        return None
    methods, rule = few(results, points, names)
    title = f"{names[1]} against {names[0]} of each method"
    notes = (spread_note(results, results.order.axes), rule, dagger(results))
    drawing = draw_points(results, {label: points[label] for label in methods}, title)
    return Section(title, tuple(filter(None, notes)), drawing)
