"""What all figures share: their look, and SVG text that is equal for equal figures."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from harness.report.results import MetricFacts, Results

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


def svg(draw: Callable[[Any], None], size: tuple[float, float], title: str) -> str:
    """The SVG element of a figure of ``size`` inches; ``title`` is for readers who cannot see."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        stream = io.BytesIO()
        FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None, "Creator": None})
    text = stream.getvalue().decode()
    start = text.index("<svg")
    end = text.index(">", start)
    return f'{text[start:end]} role="img"><title>{escape(title)}</title>{text[end + 1 :]}'


def look(results: Results, label: str, among: Sequence[str] | None = None) -> tuple[str, str]:
    """Marker and colour of a method: the same in every figure, or different ``among`` a few."""
    marker = MARKERS[results.order.methods.index(label) % len(MARKERS)]
    at = (among or results.order.methods).index(label)
    return marker, COLOURS[at % len(COLOURS)]


def literal(text: str) -> str:
    """``text`` without matplotlib's mathematics."""
    return text.replace("$", r"\$")


def metric_label(results: Results, metric: str) -> str:
    """The name of a metric for an axis, with the direction that is better."""
    better = results.metrics.get(metric, MetricFacts()).better
    hint = f" ({better} is better)" if better != "none" else ""
    return metric.replace("_", " ") + hint
