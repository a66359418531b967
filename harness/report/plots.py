"""The trade-off plot as SVG text, equal for equal results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.report.chosen import dagger, marked
from harness.report.figures.few import few
from harness.report.figures.parts import averaged, spread_note
from harness.report.results import Results
from harness.report.section import Section
from harness.report.svg import WIDE, label_points, literal, look, metric_label, svg

PREFERRED = ("attack_success_rate", "clean_accuracy")
HIGH = 3.4

Point = tuple[float, float | None]  # mean and standard deviation


def trade_off(results: Results) -> Section | None:
    """Clean accuracy against attack success of each method, or the first two metrics where those
    are not measured: the mean over cells. None when nothing can be shown."""
    metrics = results.order.metrics
    names = PREFERRED if set(PREFERRED) <= set(metrics) else metrics[:2]
    points: dict[str, dict[str, Point]] = {}
    for label in results.order.methods:
        rows = [row for row in results.rows if row.selected and row.method == label]
        found = {name: averaged(rows, name, 0).over_seeds for name in names}
        place = {name: (f.mean, f.std) for name, f in found.items() if f.mean is not None}
        if len(place) == 2:
            points[label] = place
    if not points:
        return None
    methods, rule = few(results, points, names)
    title = f"{names[1]} against {names[0]} of each method"
    notes = (spread_note(results, results.order.axes), rule, dagger(results))
    drawing = _draw(results, {label: points[label] for label in methods}, title)
    return Section(title, tuple(filter(None, notes)), drawing)


def _draw(results: Results, points: Mapping[str, Mapping[str, Point]], title: str) -> str:
    names = list(next(iter(points.values())))

    def draw(figure: Any) -> None:
        axes, ends = figure.subplots(), []
        for label, place in points.items():
            style = look(label, list(points))
            (x, x_spread), (y, y_spread) = place.values()
            axes.errorbar(
                x,
                y,
                xerr=x_spread,
                yerr=y_spread,
                fmt=style["marker"],
                markersize=7,
                color=style["colour"],
                elinewidth=0.8,
            )
            ends.append((marked(results, label), x, y, style["colour"]))
        axes.set_xlabel(literal(metric_label(results, names[0])))
        axes.set_ylabel(literal(metric_label(results, names[1])))
        axes.margins(0.08)
        axes.grid(alpha=0.3, linewidth=0.6)
        axes.set_axisbelow(True)
        label_points(axes, ends, HIGH - 0.6)

    words = (
        f"{label}: " + ", ".join(f"{name} {mean:.3f}" for name, (mean, _) in place.items())
        for label, place in points.items()
    )
    return svg(draw, (WIDE, HIGH), title, "; ".join(words))
