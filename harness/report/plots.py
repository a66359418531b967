"""The trade-off plot as SVG text, equal for equal results."""

from __future__ import annotations

import math
from typing import Any

from attrs import frozen

from harness.report.chosen import marked
from harness.report.results import Results, Summary, Values
from harness.report.svg import literal, look, metric_label, svg

PREFERRED = ("attack_success_rate", "clean_accuracy")
COLUMNS = 4
MOST_PANELS = 12


@frozen
class _Shown:
    """What is drawn: two metrics, the summaries that have both, and the panels' axis."""

    results: Results
    x: str
    y: str
    summaries: list[Summary]
    axis: str | None
    values: list[Any]
    others: list[Values]

    def panel(self, value: Any) -> list[Summary]:
        if self.axis is None:
            return self.summaries
        return [s for s in self.summaries if s.cell.get(self.axis) == value]

    def filled(self, summary: Summary) -> float:
        """How full a marker is: the rank of its cell on the axes that have no panels."""
        rest = {k: v for k, v in summary.cell.items() if k != self.axis}
        return (self.others.index(rest) + 1) / len(self.others)


def trade_off(results: Results) -> str | None:
    """Clean accuracy against attack success for each method, one panel for each value of the last
    axis, or the first two metrics where those are not measured. None when nothing can be shown."""
    metrics = results.order.metrics
    names = PREFERRED if set(PREFERRED) <= set(metrics) else metrics
    if len(names) < 2:
        return None
    x, y = names[:2]
    summaries = [s for s in results.summaries if None not in (_mean(s, x), _mean(s, y))]
    if not summaries:
        return None
    axis = results.order.axes[-1] if results.order.axes else None
    values = list(dict.fromkeys(s.cell.get(axis) for s in summaries)) if axis else [None]
    others: list[Values] = []
    for summary in summaries:
        rest = {k: v for k, v in summary.cell.items() if k != axis}
        if rest not in others:
            others.append(rest)
    shown = _Shown(results, x, y, summaries, axis, values[:MOST_PANELS], others)
    return _draw(shown, _title(shown, len(values)))


def _mean(summary: Summary, metric: str) -> float | None:
    found = summary.metrics.get(metric)
    return None if found is None else found.mean


def _title(shown: _Shown, panels: int) -> str:
    left_out = panels - len(shown.values)
    more = f"; {left_out} more values of {shown.axis} are in the tables" if left_out else ""
    return f"{shown.y} against {shown.x} of each method{more}"


def _draw(shown: _Shown, title: str) -> str:
    count = len(shown.values)
    rows = math.ceil(count / COLUMNS)
    columns = math.ceil(count / rows)

    def draw(figure: Any) -> None:
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for i, panel in enumerate(grid.flat):
            if i >= count:
                panel.set_axis_off()
                continue
            _panel(panel, shown, shown.values[i])
            panel.tick_params(labelbottom=i + columns >= count)
        figure.supxlabel(literal(metric_label(shown.results, shown.x)), fontsize=9)
        figure.supylabel(literal(metric_label(shown.results, shown.y)), fontsize=9)
        _legend(figure, shown)

    size = (3.1 * columns + 0.5 + 1.6 * _legend_columns(shown), 2.9 * rows + 0.5)
    return svg(draw, size, title)


def _labels(shown: _Shown) -> list[str]:
    present = {summary.method for summary in shown.summaries}
    return [label for label in shown.results.order.methods if label in present]


def _panel(panel: Any, shown: _Shown, value: Any) -> None:
    from matplotlib.colors import to_rgba

    for summary in shown.panel(value):
        marker, colour = look(shown.results, summary.method)
        x, y = (summary.metrics[name] for name in (shown.x, shown.y))
        panel.errorbar(
            x.mean,
            y.mean,
            xerr=x.std or 0,
            yerr=y.std or 0,
            fmt=marker,
            markersize=8 if marker == "*" else 6.5,
            markerfacecolor=to_rgba(colour, 0.65 * shown.filled(summary)),
            markeredgecolor=colour,
            ecolor=to_rgba(colour, 0.55),
            elinewidth=1,
            capsize=2,
        )
    panel.set_title("" if shown.axis is None else literal(f"{shown.axis} = {value}"), fontsize=9)
    if all(-1e-9 <= (_mean(s, shown.x) or 0.0) <= 1 for s in shown.summaries):
        panel.set_xlim(-0.06, 1.06)
    panel.margins(0.08)
    panel.grid(alpha=0.25, linewidth=0.6)
    panel.set_axisbelow(True)


def _legend_columns(shown: _Shown) -> int:
    return math.ceil(len(_labels(shown)) / 14)


def _legend(figure: Any, shown: _Shown) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for label in _labels(shown):
        marker, colour = look(shown.results, label)
        named = literal(marked(shown.results, label))
        point = Line2D([], [], linestyle="none", marker=marker, color=colour, label=named)
        handles.append(point)
    title = None
    if len(shown.others) > 1:
        ends = [", ".join(f"{k}={v}" for k, v in shown.others[i].items()) for i in (0, -1)]
        title = literal(f"light: {ends[0]}\nfull: {ends[1]}")
    columns = _legend_columns(shown)
    figure.legend(handles=handles, loc="outside right upper", ncols=columns, title=title)
