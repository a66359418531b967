"""The trade-off plot as SVG text, equal for equal results."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from html import escape
from typing import Any

from attrs import frozen

from harness.report.tables import axes_of, metrics_of

# Okabe and Ito's colours and two more, told apart with any common colour vision.
COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#8C6BB1",
    "#999999",
    "#882255",
)
MARKERS = "osD^vP*Xh<>"
PREFERRED = ("attack_success_rate", "clean_accuracy")
COLUMNS = 4
MOST_PANELS = 12
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "harness",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.title_fontsize": 8,
}


@frozen
class _Shown:
    """What is drawn: two metrics, the summary entries that have both, and the panels' axis."""

    results: Mapping[str, Any]
    x: str
    y: str
    entries: list[Any]
    axis: str | None
    values: list[Any]
    others: list[dict[str, Any]]

    def panel(self, value: Any) -> list[Any]:
        if self.axis is None:
            return self.entries
        return [e for e in self.entries if e["cell"].get(self.axis) == value]

    def filled(self, entry: Any) -> float:
        """How full a marker is: the rank of its cell on the axes that have no panels."""
        rest = {k: v for k, v in entry["cell"].items() if k != self.axis}
        return (self.others.index(rest) + 1) / len(self.others)


def trade_off(results: Mapping[str, Any]) -> str | None:
    """Clean accuracy against attack success for each method, one panel for each value of the last
    axis, or the first two metrics where those are not measured. None when nothing can be shown."""
    metrics = metrics_of(results)
    names = PREFERRED if set(PREFERRED) <= set(metrics) else metrics
    if len(names) < 2:
        return None
    x, y = names[:2]
    entries = [e for e in results["summary"] if None not in (_mean(e, x), _mean(e, y))]
    if not entries:
        return None
    axis = axes_of(results)[-1] if axes_of(results) else None
    values = list(dict.fromkeys(e["cell"].get(axis) for e in entries)) if axis else [None]
    others: list[dict[str, Any]] = []
    for entry in entries:
        rest = {k: v for k, v in entry["cell"].items() if k != axis}
        if rest not in others:
            others.append(rest)
    shown = _Shown(results, x, y, entries, axis, values[:MOST_PANELS], others)
    return _titled(_draw(shown), shown, len(values))


def _mean(entry: Any, metric: str) -> float | None:
    found: float | None = entry["metrics"].get(metric, {}).get("mean")
    return found


def _titled(text: str, shown: _Shown, panels: int) -> str:
    """The SVG element with a title for readers who cannot see it."""
    left_out = panels - len(shown.values)
    more = f"; {left_out} more values of {shown.axis} are in the tables" if left_out else ""
    title = escape(f"{shown.y} against {shown.x} of each method{more}")
    start = text.index("<svg")
    end = text.index(">", start)
    return f'{text[start:end]} role="img"><title>{title}</title>{text[end + 1 :]}'


def _draw(shown: _Shown) -> str:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    count = len(shown.values)
    rows = math.ceil(count / COLUMNS)
    columns = math.ceil(count / rows)
    with rc_context(STYLE):
        size = (3.1 * columns + 0.5 + 1.6 * _legend_columns(shown), 2.9 * rows + 0.5)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for i, panel in enumerate(grid.flat):
            if i >= count:
                panel.set_axis_off()
                continue
            _panel(panel, shown, shown.values[i])
            panel.tick_params(labelbottom=i + columns >= count)
        figure.supxlabel(_axis_label(shown, shown.x), fontsize=9)
        figure.supylabel(_axis_label(shown, shown.y), fontsize=9)
        _legend(figure, shown)
        stream = io.BytesIO()
        FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None, "Creator": None})
    return stream.getvalue().decode()


def _labels(shown: _Shown) -> list[str]:
    present = {entry["method"] for entry in shown.entries}
    return [label for label in shown.results["order"]["methods"] if label in present]


def _axis_label(shown: _Shown, metric: str) -> str:
    better = shown.results["metrics"].get(metric, {}).get("better", "none")
    hint = f" ({better} is better)" if better != "none" else ""
    return _literal(metric.replace("_", " ") + hint)


def _literal(text: str) -> str:
    """``text`` without matplotlib's mathematics."""
    return text.replace("$", r"\$")


def _looks(shown: _Shown, label: str) -> tuple[str, str]:
    at = shown.results["order"]["methods"].index(label)
    return MARKERS[at % len(MARKERS)], COLOURS[at % len(COLOURS)]


def _panel(panel: Any, shown: _Shown, value: Any) -> None:
    from matplotlib.colors import to_rgba

    for entry in shown.panel(value):
        marker, colour = _looks(shown, entry["method"])
        x, y = (entry["metrics"][name] for name in (shown.x, shown.y))
        panel.errorbar(
            x["mean"],
            y["mean"],
            xerr=x["std"] or 0,
            yerr=y["std"] or 0,
            fmt=marker,
            markersize=8 if marker == "*" else 6.5,
            markerfacecolor=to_rgba(colour, 0.65 * shown.filled(entry)),
            markeredgecolor=colour,
            ecolor=to_rgba(colour, 0.55),
            elinewidth=1,
            capsize=2,
        )
    panel.set_title("" if shown.axis is None else _literal(f"{shown.axis} = {value}"), fontsize=9)
    if all(-1e-9 <= e["metrics"][shown.x]["mean"] <= 1 for e in shown.entries):
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
        marker, colour = _looks(shown, label)
        point = Line2D([], [], linestyle="none", marker=marker, color=colour, label=_literal(label))
        handles.append(point)
    title = None
    if len(shown.others) > 1:
        ends = [", ".join(f"{k}={v}" for k, v in shown.others[i].items()) for i in (0, -1)]
        title = _literal(f"light: {ends[0]}\nfull: {ends[1]}")
    columns = _legend_columns(shown)
    figure.legend(handles=handles, loc="outside right upper", ncols=columns, title=title)
