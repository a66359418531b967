"""Figures of what is measured of many models together: points, histograms, the paper's table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.report.chosen import marked
from harness.report.figures.parts import averaged, names_of, nothing
from harness.report.numbers import plain_number, with_interval
from harness.report.panels import MOST_PANELS, Line, Panel, draw_panels, is_number
from harness.report.per_method import per_method
from harness.report.populations import (
    chosen,
    is_oracle,
    of_population,
    score_of,
    shown,
)
from harness.report.results import Results, ScoreRow, Seconds
from harness.report.section import Section
from harness.report.svg import COLOURS, WIDE, label_points, literal, look, metric_label, svg
from harness.report.tables import headed
from harness.spec.blocks import Figure
from harness.spec.claims import SCALES

HIGH = 3.4  # inches
BARS = (
    "Bars: the sample standard deviation over seeds or, of what is measured of many models "
    "together, the 95 % interval."
)

Point = tuple[float, float | None]  # a mean, and how far its bar reaches
Points = Mapping[str, Mapping[str, Point]]  # by method and metric


def scatter(results: Results, figure: Figure) -> Section:
    """One metric against another, a point for each method."""
    names = (figure.x, *names_of(figure)[:1])
    if len({*names}) < 2:
        return nothing(figure, "its two axes are one metric")
    labels = figure.methods or results.order.methods
    found = {m: {name: _point(results, name, m) for name in names} for m in labels}
    points = {
        label: {name: point for name, point in place.items() if point is not None}
        for label, place in found.items()
    }
    whole = {label: place for label, place in points.items() if len(place) == len({*names})}
    if not whole:
        return nothing(figure, "no method has both numbers")
    title = f"{names[1]} against {names[0]} of each method"
    return Section(figure.title, (BARS,), draw_points(results, whole, title))


def _point(results: Results, metric: str, label: str) -> Point | None:
    if of_population(results, metric):
        found = score_of(chosen(results, label), metric)
        if found is None or found.mean is None:
            return None
        return found.mean, None if found.high is None else found.high - found.mean
    rows = [row for row in results.rows if row.selected and row.method == label]
    mean = averaged(rows, metric, 0).over_seeds
    return None if mean.mean is None else (mean.mean, mean.std)


def draw_points(results: Results, points: Points, title: str) -> str:
    """SVG of a point for each method at two metrics, with its label."""
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


def histogram(results: Results, figure: Figure) -> Section:
    """Shares (series y) of what falls into the bins that begin at x, a panel for each method; the
    oracle is drawn in each of them."""
    names = (figure.x, *names_of(figure)[:1])
    if len(names) < 2:
        return nothing(figure, "no series is named for its y axis")
    found = {
        row.method: list(zip(*pairs, strict=True))
        for row in chosen(results)
        if {*names} <= row.series.keys()
        if not figure.methods or row.method in figure.methods
        if (pairs := _pairs(row, *names))
    }
    labels = [label for label in results.order.methods if label in found]
    if not labels:
        return nothing(figure, "no method recorded it")
    oracle = [label for label in labels if is_oracle(results, label)][:1]
    panels = [
        Panel(
            label,
            tuple(
                Line(
                    "",
                    "o",
                    COLOURS[-1 if of != label else 1],
                    x=found[of][0],
                    y=found[of][1],
                    filled=tuple(range(len(found[of][0]))),
                    thin=of != label,
                )
                for of in dict.fromkeys([*oracle, label])
            ),
        )
        for label in labels
    ]
    begins = [plain_number(x) for x in found[labels[0]][0]]
    table = [[label, *map(plain_number, found[label][1])] for label in labels]
    left_out = len(panels) - MOST_PANELS
    notes = [
        "One population of each method. The last bin holds all beyond it.",
        f"Grey: {oracle[0]}, the oracle." if oracle else "",
        f"{left_out} more methods are in the table." if left_out > 0 else "",
    ]
    caption = f"{names[1]}, by where the bin of {names[0]} begins"
    drawing = draw_panels(names[0], [("", panels[:MOST_PANELS])], caption)
    tables = ((caption, (["method", *begins], table)),)
    return Section(figure.title, tuple(filter(None, notes)), drawing, tables)


def _pairs(row: ScoreRow, x: str, y: str) -> list[tuple[Any, Any]]:
    """The numbers of two series that belong together, of which a stranger may have lost some."""
    both = zip(row.series[x], row.series[y], strict=False)
    return [pair for pair in both if all(map(is_number, pair))]


def table(results: Results, figure: Figure) -> Section:
    """The paper's table in its own columns: a row for each method, ours with the 95 % interval
    where there is one, the paper's number behind it, and the seconds of one unlearning."""
    names = names_of(figure)
    means = {mean.method: mean.metrics for mean in per_method(results)}
    paper = {
        (claim.method, claim.metric): (claim.value or 0.0) / SCALES[claim.unit]
        for claim in results.verdicts
        if claim.claim == "number"
    }

    def cell(label: str, name: str) -> str:
        ours, rows = with_interval(means[label].get(name)), chosen(results, label)
        if of_population(results, name):
            one = len(rows) == 1
            ours = shown(rows[0], name) if one else with_interval(score_of(rows, name))
        if (label, name) not in paper:
            return ours
        return f"{ours} (paper: {plain_number(paper[label, name])})"

    labels = [label for label in figure.methods or results.order.methods if label in means]
    rows = [
        [
            marked(results, label),
            *(cell(label, name) for name in names),
            plain_number(results.provenance.times.get(label, Seconds()).wall),
        ]
        for label in labels
    ]
    counts = sorted({row.models.get("unlearned", 0) for row in results.scores})
    models = f" (N = {', '.join(map(str, counts))})"
    heads = [headed(results, n) + (models if of_population(results, n) else "") for n in names]
    headers = ["method", *heads, "seconds of one unlearning, on the wall"]
    return Section(figure.title, tables=((figure.title, (headers, rows)),))
